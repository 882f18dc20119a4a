"""`reverie record`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reverie.config import Bound


@dataclass(frozen=True)
class Record:
    """Play episodes with a trained agent and record them as a dataset."""

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent."""
    out: str
    """The new dataset: a folder, or minari:NAMESPACE/NAME-v0."""
    checkpoint: Literal["newest", "best"] | int = "newest"
    """The checkpoint of a run: the newest one, the best one by the evaluations during training, or the one of so many
    environment steps."""
    episodes: Annotated[int, Bound(1)] = 100
    """Number of episodes to play."""
    env: str | None = None
    """The environment to play in. By default the one in which the agent was trained."""
    seed: Annotated[int, Bound(0, 2**31 - 1)] = 1000
    """Seed of the environments and of the policy's samples."""
    envs: Annotated[int, Bound(1, 65536)] = 4
    """Number of vectorized environments to play in."""
    max_steps: Annotated[int, Bound(1)] = 100_000
    """Environment steps after which an episode that has not ended is truncated."""
    deterministic: bool = False
    """Play the most likely actions instead of sampling them."""

    def __call__(self) -> None:
        from reverie.agent import Agent
        from reverie.cli.evaluate import environment_of
        from reverie.text import printable
        from reverie.training import evaluate

        result = evaluate(
            Agent.load(self.run, self.checkpoint),
            environment_of(self.run, self.env),
            episodes=self.episodes,
            seed=self.seed,
            deterministic=self.deterministic,
            envs=self.envs,
            max_steps=self.max_steps,
            record=self.out,
        )
        print(f"Recorded in '{printable(self.out)}': {result}")
