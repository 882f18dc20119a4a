"""`reverie eval`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reverie.config import Bound
from reverie.errors import InputError


@dataclass(frozen=True)
class Eval:
    """Play episodes with a trained agent and print their returns."""

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent."""
    episodes: Annotated[int, Bound(1)] = 20
    """Number of episodes to play."""
    env: str | None = None
    """The environment to play in. By default the one in which the agent was trained."""
    seed: Annotated[int, Bound(0, 2**31 - 1)] = 1000
    """Seed of the environments and of the policy's samples."""
    deterministic: bool = False
    """Play the most likely actions instead of sampling them."""
    video: Path | None = None
    """File to which the first episode is recorded: .mp4 or .gif."""

    def __call__(self) -> None:
        from reverie.agent import Agent, read_description
        from reverie.compiling import use_cache
        from reverie.training import evaluate

        use_cache()
        agent = Agent.load(self.run)
        env = self.env or read_description(self.run / "agent.json")[2]
        if env is None:
            raise InputError(f"'{self.run}' does not record its environment; name one with --env.")
        result = evaluate(
            agent,
            env,
            episodes=self.episodes,
            seed=self.seed,
            deterministic=self.deterministic,
            video=self.video,
        )
        print(f"{env}: {result}")
        if self.video:
            print(f"The video is in '{self.video}'.")
