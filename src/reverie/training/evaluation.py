"""Evaluation: whole episodes with a fixed policy. May import: `agent`, `envs`, `text`, `filming`, `recording`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from gymnasium.vector import VectorEnv

from reverie.agent import Agent, initial_carry, keep_rows, policy_step
from reverie.compiling import use_cache
from reverie.envs import AnyEnvironments, exists, open_environments, settings_of
from reverie.envs.make import EnvLike
from reverie.errors import InputError
from reverie.learner import compute_dtype
from reverie.text import counted
from reverie.training.filming import Film, filming
from reverie.training.recording import Recorder, recording

MAX_STEPS = 100_000
# How to step environments like those of a run's `env.mode`; others are stepped in this process.
AS_TRAINED: dict[str, Literal["serial", "parallel", "vector"]] = {
    "parallel": "parallel",
    "async": "parallel",
    "vector": "vector",
}


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Returns and lengths of the episodes that were played.

    Attributes:
        returns: the sum of rewards of each episode.
        lengths: decisions in each episode.
        cut_off: episodes among these that had not ended after `max_steps` decisions.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    cut_off: int = 0

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
        """Mean length."""
        return float(np.mean(self.lengths))

    def __str__(self) -> str:
        low, high, count = min(self.returns), max(self.returns), len(self.returns)
        cut = f"; {self.cut_off} of them had not ended after {max(self.lengths):,} steps" if self.cut_off else ""
        return (
            f"return {self.mean:.2f} ± {self.std:.2f} over {counted(count, 'episode')} "
            f"(from {low:.2f} to {high:.2f}), length {self.mean_length:.1f}{cut}"
        )

    def __repr__(self) -> str:
        return f"<Evaluation: {self}>"


def evaluate(
    agent: Agent,
    env: EnvLike,
    *,
    episodes: int = 20,
    seed: int = 1000,
    deterministic: bool = False,
    envs: int = 4,
    mode: Literal["serial", "parallel", "vector"] | None = None,
    max_steps: int = MAX_STEPS,
    video: str | Path | None = None,
    video_episodes: int = 1,
    record: str | Path | None = None,
) -> Evaluation:
    """Play whole episodes and return their returns and lengths; nothing is learned.

    Compiled programs are cached on disk, see `reverie.compiling.use_cache`.

    Args:
        agent: the agent that plays.
        env: as for `train`; an instance is closed at the end.
        episodes: how many, spread evenly over the environments so that short ones don't count more often.
        seed: for the environments and for the policy's samples.
        deterministic: play the most likely actions. The paper's results are for sampled ones.
        envs: vectorized environments to play in.
        mode: how they are stepped, as `env.mode` of the config: "serial", "parallel" or "vector"; by default as in
            training, where that is possible, else "serial".
        max_steps: decisions after which an episode counts as it is. Its environment plays no further ones, so a task
            without an end is evaluated too; the result says how many episodes were cut off.
        video: where to write a video (.mp4 or .gif); needs the extra 'video'.
        video_episodes: how many episodes to film, one after another.
        record: a new dataset for the episodes: a folder, or "minari:NAMESPACE/NAME-v0".

    Raises:
        InputError: an argument is out of range, the environment's spaces are not the agent's, or the dataset exists.
    """
    if not isinstance(agent, Agent):
        raise InputError(f"agent must be an Agent, got {agent!r}; Agent.load reads one from a folder.")
    for what, value in (("episodes", episodes), ("envs", envs), ("max_steps", max_steps)):
        if value < 1:
            raise InputError(f"{what} must be at least 1, got {value}.")
    use_cache()
    if video is not None and not 1 <= video_episodes <= episodes:
        raise InputError(f"video_episodes must be between 1 and the {episodes} episodes, got {video_episodes}.")
    # The first environment is filmed, so it must play that many.
    count = 1 if exists(env) else min(envs, episodes if video is None else episodes // video_episodes)
    given = settings_of(agent.config.env)
    if video is not None:
        given["env_kwargs"]["render_mode"] = "rgb_array"
    if exists(env):
        given["env_kwargs"] = {}
    if isinstance(env, VectorEnv):
        count = env.num_envs
    settings = agent.config.env
    if mode is None:
        mode = "serial" if exists(env) else AS_TRAINED.get(settings.mode, "serial")
    with open_environments(
        env,
        count,
        mode=mode,
        seed=seed,
        **given,
    ) as environments:
        if not agent.spaces.fits(environments.spaces):
            raise InputError(
                f"The agent was trained for {agent.spaces.observation_space} and {agent.spaces.action_space}, but the "
                f"environment has {environments.spaces.observation_space} and {environments.spaces.action_space}."
            )
        name = env if isinstance(env, str) else None
        with (
            filming(environments, None if video is None else Path(video), video_episodes) as film,
            recording(environments, record, name) as recorder,
        ):
            result = play(
                agent,
                environments,
                episodes,
                seed,
                deterministic=deterministic,
                max_steps=max_steps,
                film=film,
                recorder=recorder,
            )
    assert result is not None  # nothing stops it
    return result


def _never() -> bool:
    return False


def play(
    agent: Agent,
    environments: AnyEnvironments,
    episodes: int,
    seed: int,
    *,
    deterministic: bool = False,
    max_steps: int = MAX_STEPS,
    film: Film | None = None,
    recorder: Recorder | None = None,
    stopped: Callable[[], bool] = _never,
) -> Evaluation | None:
    """Play episodes, spread evenly over environments that are seeded first.

    Returns:
        The finished episodes and those that reached `max_steps`; None if `stopped` returned True before the end.
    """
    count = environments.num_envs
    wanted = np.array([episodes // count + (i < episodes % count) for i in range(count)])
    finished, cut_off = np.zeros(count, int), 0
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
        # Act: infer the latent state and sample an action, or take its mode (section 5, acting).
        before = carry
        carry = policy_step(
            agent.networks, step.observation, step.is_first, carry, dtype=dtype, deterministic=deterministic
        )
        carry = carry if ready.all() else keep_rows(ready, carry, before)
        action = jax.device_get(carry.action)
        if recorder is not None:
            recorder.take(step, action, ready)
        step = environments.step(action)
        # Count rewards and decisions; an episode that is not wanted any more does not count.
        new = environments.ready
        returns, lengths = returns + np.where(new, step.reward, 0), lengths + (new & ~step.is_first)
        endless = new & ~step.is_last & (lengths >= max_steps) & (finished < wanted)
        for index in np.flatnonzero((new & step.is_last) | endless):
            if film is not None and index == 0 and finished[0] == film.episodes - 1:
                film.take()  # the end of the last episode; those of others are taken before they are reset
            if finished[index] < wanted[index]:
                result.append((float(returns[index]), int(lengths[index])))
                if recorder is not None:
                    recorder.end(step, int(index))
            finished[index] = wanted[index] if endless[index] else finished[index] + 1
            returns[index], lengths[index] = 0, 0
        cut_off += int(endless.sum())
    return Evaluation(tuple(r for r, _ in result), tuple(n for _, n in result), cut_off)
