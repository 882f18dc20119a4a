"""`reverie export`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reverie.config import Bound


@dataclass(frozen=True)
class Export:
    """Export a trained policy for programs without Reverie: as ONNX, or as StableHLO.

    Next to it, a JSON file describes inputs and outputs. Episodes are played first to check that it computes the same.
    """

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent."""
    out: tyro.conf.Positional[Path]
    """The file to write: .onnx or .stablehlo."""
    checkpoint: Literal["newest", "best"] | int = "newest"
    """The checkpoint of a run: the newest one, the best one by the evaluations during training, or the one of so many
    environment steps."""
    sample: bool = False
    """Sample actions instead of choosing the most likely ones; noise is an input then."""
    env: str | None = None
    """The environment to check it in. By default the one in which the agent was trained."""
    episodes: Annotated[int, Bound(1)] = 2
    """Number of episodes to check."""
    max_steps: Annotated[int, Bound(1)] = 1000
    """Longest episode to check, in environment steps."""

    def __call__(self) -> None:
        from reverie.agent import Agent
        from reverie.cli.evaluate import environment_of
        from reverie.envs import make_env, settings_of
        from reverie.envs.wrappers import wrapped
        from reverie.export import export_policy
        from reverie.text import printable

        agent, env = Agent.load(self.run, self.checkpoint), environment_of(self.run, self.env)
        made = agent.config.env
        kwargs = settings_of(made)["env_kwargs"]
        trial = export_policy(
            agent,
            self.out,
            deterministic=not self.sample,
            make=lambda: wrapped(
                make_env(env, **kwargs), time_limit=made.time_limit, action_repeat=made.action_repeat
            ),
            episodes=self.episodes,
            max_steps=self.max_steps,
        )
        print(
            f"Exported to '{printable(str(self.out))}' and '{printable(str(self.out.with_suffix('.json')))}'. Compared "
            f"over {trial.steps:,} steps: numbers differ by {trial.error:.1g} at most, choices in {trial.ties:.2%}; "
            f"returns {', '.join(f'{one:.1f}' for one in trial.returns)}."
        )
