"""The training loop for environments written in JAX: acting, stepping and recording are one compiled program.

It runs several steps of all environments at once, as many as earn an update, and gives their records to replay as the
device's arrays. The host learns of rewards and ends alone, for the episodes' returns.

May import: everything below `training`, and of it `loop`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from reverie.agent import Carry, initial_carry, policy_step
from reverie.config import Config
from reverie.envs import BrokenEnvironmentError
from reverie.envs.compiled import CompiledEnvironments
from reverie.experience import Experience, Step
from reverie.learner import Networks
from reverie.training.clock import Clock
from reverie.training.loop import Loop, Progress, stored_latents

MOST_STEPS = 16  # of every environment in one program: their records are in memory twice meanwhile


class Now(NamedTuple):
    """Where acting and the environments stand."""

    step: Step
    carry: Carry
    state: Any  # of the environments
    key: PRNGKeyArray


class Told(NamedTuple):
    """What the host learns of some steps, (time, N)."""

    reward: Any
    is_first: Any
    is_last: Any
    acted: Any  # not at the end of an episode
    broken: Any  # begun anew, as a number was not finite


class CompiledLoop(Loop):
    """As `Loop`, several steps of all environments at a time."""

    kind = "compiled"

    def __init__(self, envs: CompiledEnvironments, config: Config, clock: Clock, folder: Path | None = None) -> None:
        super().__init__(envs, config, clock, folder)
        self._steps = _steps_at_once(config, self.replay.capacity)
        self._collect = jax.jit(self._collected, donate_argnums=1)

    def begin(self) -> None:
        if self._now is not None:
            return
        self.episodes.begin()
        self.replay.cut_off()
        self._now = jax.jit(self._first_now)()

    def step(self) -> Progress:
        """Act in all environments and record, as often as earns an update; do the updates that are due.

        Raises:
            OSError: there is no room for the records on disk; nothing has happened.
            BrokenEnvironmentError: observations or rewards were not finite more often than `env.restarts` allows; the
                loop is not `whole` then.
        """
        self.replay.reserve(self._steps)
        assert self._now is not None, "begin() comes first"
        with self.clock.measure("act"):
            self._now, records, sent = self._collect(self.state.networks, self._now)
        with self.clock.measure("data"):
            self.replay.extend(records)
        updates, skipped = self._learn()
        with self.clock.measure("act", again=True):
            told: Told = jax.device_get(sent)  # waits for the steps, not for the updates
        episodes = self._count(told)
        decisions = int(np.sum(told.acted))
        self.env_steps += decisions
        self._earn(decisions)
        self._count_failures(int(np.sum(told.broken)))
        return Progress(episodes, updates, skipped)

    def _count(self, told: Told) -> list[tuple[float, int]]:
        """Returns and lengths of the episodes that ended in these steps."""
        ended, all_of_them = [], np.ones(self._envs.num_envs, bool)
        for reward, is_first, is_last in zip(told.reward, told.is_first, told.is_last, strict=True):
            ended += self.episodes.add(Step({}, reward, is_first, is_last, is_last), all_of_them)
        return ended

    def _count_failures(self, broken: int) -> None:
        if not broken:
            return
        self._envs.failures += broken
        left = self.config.env.restarts - self._envs.failures
        problem = f"{broken} environments showed a number that is not finite as float32"
        if left < 0:
            self._now = None
            raise BrokenEnvironmentError(f"{problem}; of {self.config.env.restarts} restarts, none is left.")
        self._envs.tell(f"{problem}, and began a new episode; {left} more times are allowed.")

    def _collected(self, networks: Networks, now: Now) -> tuple[Now, Experience, Told]:
        """The steps, their records, leaves (N, time, ...), and what the host learns of them. Compiled."""

        def one(now: Now, _: None) -> tuple[Now, tuple[Experience, Told]]:
            step = now.step
            carry = policy_step(networks, step.observation, step.is_first, now.carry, dtype=self._dtype)
            key, this = jax.random.split(now.key)
            state, following = self._envs.step(this, now.state, step, carry.action)
            latents = stored_latents(carry.latent.deter, jnp.argmax(carry.latent.stoch, -1))
            record = Experience(
                action=jax.tree.map(lambda x: jnp.where(_beside(step.is_last, x), 0, x), carry.action),
                deter=latents.deter,
                stoch=latents.stoch,
                **step._replace(is_last=step.is_last | following.is_first)._asdict(),
            )
            broken = following.is_first & ~step.is_last
            told = Told(following.reward, following.is_first, following.is_last, ~step.is_last, broken)
            return Now(following, carry, state, key), (record, told)

        now, (records, told) = jax.lax.scan(one, now, length=self._steps)
        return now, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), records), told

    def _first_now(self) -> Any:
        """All environments at the beginning of an episode."""
        acting, stepping, key = jax.random.split(jax.random.fold_in(self._keys.act, self.env_steps), 3)
        state, step = self._envs.reset(stepping)
        return Now(step, initial_carry(self.state.networks, self._envs.num_envs, acting), state, key)


def _steps_at_once(config: Config, capacity: int) -> int:
    """As many as all environments need to earn an update, and no more than replay holds."""
    decisions = config.replay.batch * config.replay.length / max(config.run.train_ratio, 1e-9)
    longest = min(MOST_STEPS, capacity // config.env.envs)
    return int(np.clip(np.ceil(decisions / config.env.envs), 1, longest))


def _beside(flags: jax.Array, x: jax.Array) -> jax.Array:
    """(N,) with axes to broadcast beside x."""
    return flags.reshape((-1,) + (1,) * (x.ndim - 1))
