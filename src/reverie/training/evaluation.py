"""Evaluation: episodes with a fixed policy. May import: `agent`, `dreams`, `envs`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from gymnasium.vector import VectorEnv

from reverie.agent import Agent, initial_carry, keep_rows, policy_step
from reverie.dreams.video import Video, frame_rate
from reverie.envs import AnyEnvironments, exists, open_environments
from reverie.errors import InputError
from reverie.learner import compute_dtype


@dataclass(frozen=True)
class Evaluation:
    """Returns and lengths of finished episodes."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of the returns over episodes."""
        return float(np.std(self.returns))

    @property
    def mean_length(self) -> float:
        return float(np.mean(self.lengths))

    def __str__(self) -> str:
        low, high = min(self.returns), max(self.returns)
        return (
            f"return {self.mean:.2f} ± {self.std:.2f} over {len(self.returns)} episodes "
            f"(from {low:.2f} to {high:.2f}), length {self.mean_length:.1f}"
        )


def evaluate(
    agent: Agent,
    env: Any,
    *,
    episodes: int = 20,
    seed: int = 1000,
    deterministic: bool = False,
    envs: int = 4,
    video: str | Path | None = None,
    video_episodes: int = 1,
) -> Evaluation:
    """Play whole episodes and report what they brought; nothing is learned.

    Args:
        agent: who plays.
        env: as for `train`; an environment that is passed in is closed at the end.
        episodes: how many, spread evenly over the environments so that short ones don't count more often.
        seed: of the environments and of the policy's samples.
        deterministic: play the most likely actions. The paper's numbers are of sampled ones.
        envs: environments side by side.
        video: where to write a film (.mp4 or .gif); needs the extra `video`.
        video_episodes: how many episodes to film, one after another.

    Raises:
        InputError: the environment's spaces are not the agent's.
    """
    if episodes < 1:
        raise InputError(f"episodes must be at least 1, got {episodes}.")
    if video is not None and not 1 <= video_episodes <= episodes:
        raise InputError(f"video_episodes must be between 1 and the {episodes} episodes, got {video_episodes}.")
    # The first environment is filmed, so it must play that many.
    count = 1 if exists(env) else min(envs, episodes // video_episodes if video is not None else episodes)
    kwargs = {"render_mode": "rgb_array"} if video is not None and not exists(env) else None
    if isinstance(env, VectorEnv):
        count = env.num_envs
    settings = agent.config.env
    mode: Literal["serial", "vector"] = "vector" if settings.mode == "vector" and not exists(env) else "serial"
    with open_environments(
        env,
        count,
        mode=mode,
        seed=seed,
        keys=settings.keys,
        time_limit=settings.time_limit,
        action_repeat=settings.action_repeat,
        env_kwargs=kwargs,
    ) as environments:
        if environments.spaces != agent.spaces:
            raise InputError(
                f"The agent was trained for {agent.spaces.observation_space} and {agent.spaces.action_space}, but the "
                f"environment has {environments.spaces.observation_space} and {environments.spaces.action_space}."
            )
        with _filming(environments, video, video_episodes) as film:
            result = play(agent, environments, episodes, seed, deterministic=deterministic, film=film)
    assert result is not None  # nobody stopped it
    return result


def play(
    agent: Agent,
    environments: AnyEnvironments,
    episodes: int,
    seed: int,
    *,
    deterministic: bool = False,
    film: "Film | None" = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Episodes, spread evenly over environments that are seeded anew; None if it is stopped before all are played."""
    count = environments.num_envs
    wanted = np.array([episodes // count + (i < episodes % count) for i in range(count)])
    finished = np.zeros(count, int)
    returns, lengths = np.zeros(count), np.zeros(count, int)
    result: list[tuple[float, int]] = []
    step, carry = environments.reset(seed=[seed]), initial_carry(agent.networks, count, jax.random.key(seed))
    dtype = compute_dtype(agent.config.model)
    while np.any(finished < wanted):
        if stopped():
            return None
        ready = environments.ready
        if film is not None and finished[0] < film.episodes and ready[0]:
            film.take()
        before = carry
        carry = policy_step(
            agent.networks, step.observation, step.is_first, carry, dtype=dtype, deterministic=deterministic
        )
        carry = carry if ready.all() else keep_rows(ready, carry, before)
        step = environments.step(jax.device_get(carry.action))
        new = environments.ready
        returns, lengths = returns + np.where(new, step.reward, 0), lengths + (new & ~step.is_first)
        for index in np.flatnonzero(new & step.is_last):
            if film is not None and index == 0 and finished[0] == film.episodes - 1:
                film.take()  # the end of the last episode; those of others are taken before they are reset
            if finished[index] < wanted[index]:
                result.append((float(returns[index]), int(lengths[index])))
            finished[index] += 1
            returns[index], lengths[index] = 0, 0
    return Evaluation(tuple(r for r, _ in result), tuple(n for _, n in result))


class Film:
    """Films the first episodes of the first environment."""

    def __init__(self, environments: AnyEnvironments, video: Video, episodes: int):
        self._environments, self._video, self.episodes = environments, video, episodes

    def take(self) -> None:
        """Add a frame of what the environment looks like now."""
        self._video.add(self._environments.render_frame(0))


@contextmanager
def _filming(environments: AnyEnvironments, path: str | Path | None, episodes: int) -> Iterator[Film | None]:
    """A film that is written while it is in use, at the environment's own frame rate; None without a path."""
    if path is None:
        yield None
        return
    with Video(Path(path), frame_rate(environments.render_fps)) as video:
        yield Film(environments, video, episodes)
