"""`reverie eval`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reverie.config import Bound
from reverie.errors import InputError


@dataclass(frozen=True)
class Eval:
    """Play episodes with a trained agent and print their returns."""

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent."""
    checkpoint: Literal["newest", "best"] | int = "newest"
    """The checkpoint of a run: the newest one, the best one by the evaluations during training, or the one of so many
    environment steps."""
    episodes: Annotated[int, Bound(1)] = 20
    """Number of episodes to play."""
    env: str | None = None
    """The environment to play in. By default the one in which the agent was trained."""
    seed: Annotated[int, Bound(0, 2**31 - 1)] = 1000
    """Seed of the environments and of the policy's samples."""
    envs: Annotated[int, Bound(1, 65536)] = 4
    """Number of vectorized environments to play in."""
    mode: Literal["serial", "parallel", "vector"] | None = None
    """How they are stepped: one after the other, in parallel worker processes, or by a gymnasium VectorEnv. By default
    serial, or vector if the agent was trained so."""
    max_steps: Annotated[int, Bound(1)] = 100_000
    """Environment steps after which an episode that has not ended counts as it is."""
    deterministic: bool = False
    """Play the most likely actions instead of sampling them."""
    video: Path | None = None
    """File to which the first episodes are recorded: .mp4 or .gif."""
    video_episodes: Annotated[int, Bound(1)] = 1
    """Number of episodes to record."""

    def __call__(self) -> None:
        from reverie.agent import Agent
        from reverie.compiling import use_cache
        from reverie.text import printable
        from reverie.training import evaluate

        use_cache()
        agent = Agent.load(self.run, self.checkpoint)
        env = environment_of(self.run, self.env)
        result = evaluate(
            agent,
            env,
            episodes=self.episodes,
            seed=self.seed,
            deterministic=self.deterministic,
            envs=self.envs,
            mode=self.mode,
            max_steps=self.max_steps,
            video=self.video,
            video_episodes=self.video_episodes,
        )
        print(f"{printable(env)}: {result}")
        if self.video:
            print(f"The video is in '{self.video}'.")


def environment_of(run: Path, named: str | None) -> str:
    """The environment that was named, or the one in which the agent was trained."""
    from reverie.agent import read_description

    env = named or read_description(run / "agent.json")[2]
    if env is None:
        raise InputError(f"'{run}' does not record its environment; name one with --env.")
    return env
