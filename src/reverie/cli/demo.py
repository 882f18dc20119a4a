"""`reverie demo`. May import: everything below `cli`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from reverie.presets import DEMO

if TYPE_CHECKING:
    from reverie.training import Trainer


@dataclass(frozen=True)
class Demo:
    """Watch an agent learn to catch a ball, in a few minutes on a laptop. The settings are not the paper's."""

    logdir: Path = Path("runs/demo")
    """The run's folder."""

    def __call__(self) -> None:
        from reverie.training import evaluate, train

        env, solved = "reverie/CatchVector-v0", 0.8
        print(
            "A ball falls and the agent moves a paddle: +1 for a catch, -1 for a miss. "
            f"A random agent averages about -0.75; the demo stops at {solved}."
        )
        agent = train(env, DEMO, logdir=self.logdir, until=_solved_repeatedly(solved))
        print(f"Evaluated on new episodes: {evaluate(agent, env, episodes=100)}")
        print(
            f"\nThe run is in '{self.logdir}'. Its report.html summarizes it; dreams/ shows the world model's "
            "predictions.\n"
            f"Watch it play:         reverie eval {self.logdir} --episodes 5 --video catch.gif\n"
            "Train on a real task:  reverie train CartPole-v1 --steps 31000 --logdir runs/full  (3 hours on 2 cores)\n"
            "Use it from Python:    examples/act.py"
        )


def _solved_repeatedly(solved: float, times: int = 3) -> "Callable[[Trainer], bool]":
    """A stopping rule: the mean return of the recent episodes is high enough in several logging intervals in a row,
    as a single one may be luck."""
    streak = 0

    def check(run: "Trainer") -> bool:
        nonlocal streak
        recent = run.episodes.recent
        streak = streak + 1 if len(recent) == recent.maxlen and fmean(recent) >= solved else 0
        return streak >= times

    return check
