"""`reverie inspect`. May import: everything below `cli`."""

from dataclasses import dataclass

from reverie.cli.configured import Configured


@dataclass(frozen=True)
class Inspect(Configured):
    """Show how an environment's spaces reach the networks, and how much memory a run needs, without training.

    The flags are those of reverie train.
    """

    def __call__(self) -> None:
        from reverie.training import inspect

        inspect(self.env, self.config)
