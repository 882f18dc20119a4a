"""`reverie inspect`. May import: everything below `cli`."""

from dataclasses import dataclass

import tyro

from reverie.cli.flags import overrides
from reverie.config import Config, Size
from reverie.envs.suites import suite_of
from reverie.presets import for_suite


@dataclass(frozen=True)
class Inspect:
    """Show how an environment's spaces reach the networks, and how much memory a run needs."""

    env: tyro.conf.Positional[str]
    """The environment, named as for reverie train."""
    size: Size | None = None
    """A published model size."""
    keys: str | None = None
    encoder_keys: str | None = None
    decoder_keys: str | None = None

    def __call__(self) -> None:
        from reverie.training import inspect

        size = {"size": self.size} if self.size else {}
        inspect(self.env, for_suite(suite_of(self.env), Config()).override(**size, **overrides(self)))
