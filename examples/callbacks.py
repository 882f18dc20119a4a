"""Three callbacks: stop early, add a metric of your own, and make the task harder as the agent gets better.

Run it with: python examples/callbacks.py
"""

from collections.abc import Mapping

import gymnasium as gym

import reverie
from reverie.training.callbacks import Run
from reverie.training.episodes import Episode


class EarlyStopping(reverie.Callback):
    """Ends the run when the mean return of the last 20 episodes has not improved for some rows of metrics."""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.since = patience, float("-inf"), 0

    def on_log(self, run: Run, row: Mapping[str, float]) -> None:
        recent = run.episodes.recent
        if not recent:
            return
        mean = sum(recent) / len(recent)
        self.since = 0 if mean > self.best else self.since + 1
        self.best = max(self.best, mean)
        if self.since >= self.patience:
            run.stop(f"no improvement in {self.patience} rows")


class SolvedShare(reverie.Callback):
    """Adds the share of solved episodes to the metrics, as `solved`."""

    def on_episode(self, run: Run, episode: Episode) -> None:
        run.record("solved", episode.total_reward >= 195)


class Curriculum(reverie.Callback):
    """Makes episodes longer whenever the agent survives nearly to their end.

    The environments are stepped in this process (`env.mode` "serial"), so they see the change at once.
    """

    def __init__(self) -> None:
        self.length = 50

    def make(self) -> gym.Env:
        return Limited(gym.make("CartPole-v1").unwrapped, self)

    def on_episode(self, run: Run, episode: Episode) -> None:
        if episode.length > 0.9 * self.length:
            self.length = min(500, self.length + 10)
        run.record("curriculum/length", self.length)


class Limited(gym.Wrapper):
    """Truncates episodes at the curriculum's current length."""

    def __init__(self, env: gym.Env, curriculum: Curriculum) -> None:
        super().__init__(env)
        self.curriculum, self.time = curriculum, 0

    def reset(self, **kwargs):
        self.time = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.time += 1
        return observation, reward, terminated, truncated or self.time >= self.curriculum.length, info


if __name__ == "__main__":
    curriculum = Curriculum()
    config = reverie.Config.of(train_ratio=64)
    reverie.train(curriculum.make, config, steps=8000, callbacks=[curriculum, SolvedShare(), EarlyStopping(50)])
