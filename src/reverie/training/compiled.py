"""The training loop for environments written in JAX: acting, stepping and recording are one compiled program.

The program steps all environments as often as it takes to earn an update and appends the records to replay as device
arrays. Only rewards and flags are copied to the host, for the episodes' returns.

May import: everything below `training`, and of it `clock`, `episodes`, `learning` and `records`.
"""

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from reverie.agent import Carry, initial_carry, policy_step
from reverie.config import Config
from reverie.envs import BrokenEnvironmentError
from reverie.envs.compiled import CompiledEnvironments
from reverie.envs.final_info import numbers
from reverie.experience import Experience, Step
from reverie.learner import Networks
from reverie.text import counted
from reverie.training.clock import Clock
from reverie.training.episodes import Episode
from reverie.training.learning import LearningLoop, Progress
from reverie.training.records import stored_latents

MOST_STEPS = 16  # of each environment per call; their records are in memory twice during the call


class Now(NamedTuple):
    """Where acting and the environments stand between two calls."""

    step: Step
    carry: Carry
    state: Any  # of the environments
    key: PRNGKeyArray


class Outcome(NamedTuple):
    """The part of a call's results that is copied to the host, each (time, N)."""

    reward: Any
    is_first: Any
    is_last: Any
    acted: Any  # a decision was taken: not so in an episode's last step
    broken: Any  # restarted because a number was not finite
    info: dict[str, Any]  # the numbers of the environments' infos, by name


class CompiledLoop(LearningLoop[Now]):
    """The training loop on the device, several steps of all environments at a time."""

    kind: ClassVar[str] = "compiled"

    def __init__(self, envs: CompiledEnvironments, config: Config, clock: Clock, folder: Path | None = None) -> None:
        super().__init__(envs, config, clock, folder)
        self._envs = envs
        self._steps = _steps_per_call(config, self.replay.capacity)
        self._collect = jax.jit(self._collected, donate_argnums=1)

    def begin(self) -> None:
        """Start an episode in every environment, unless a checkpoint has restored where they stand."""
        if self._now is not None:
            return
        self._end_episodes()
        self.replay.cut_off()
        self._now = jax.jit(self._first)()

    def step(self) -> Progress:
        """Act in all environments and record, as often as earns an update; do the updates that are due.

        Raises:
            OSError: there is no room for the records on disk; nothing has happened.
            BrokenEnvironmentError: observations or rewards were not finite, or no action was allowed, more often than
                `env.restarts` allows; a run that is saved then begins new episodes when it is resumed.
        """
        self.replay.reserve(self._steps)
        assert self._now is not None, "begin() comes first"
        # Act, step and record on the device (section 5, acting).
        now, self._now = self._now, None
        with self.clock.measure("act"):
            now, records, sent = self._collect(self._parameters, now)
        with self.clock.measure("data"):
            self.replay.extend(records)
        # Learn: train world model, critic and actor on replayed sequences (sections 3 to 5).
        updates, skipped = self._learn()
        # Fetch rewards and flags. This waits for the environments' steps, not for the updates.
        with self.clock.measure("act", again=True):
            outcome: Outcome = jax.device_get(sent)
        episodes = self._finished(outcome)
        decisions = int(np.sum(outcome.acted))
        self.env_steps += decisions
        self._earn(decisions)
        self._check_failures(int(np.sum(outcome.broken)))
        self._now = now
        return Progress(episodes, updates, skipped)

    def _finished(self, outcome: Outcome) -> list[Episode]:
        """The episodes that ended in these steps."""
        ended, everywhere = [], np.ones(self._envs.num_envs, bool)
        for time, (reward, is_first, is_last) in enumerate(
            zip(outcome.reward, outcome.is_first, outcome.is_last, strict=True)
        ):
            infos = {i: _numbers(outcome.info, time, i) for i in np.flatnonzero(is_last).tolist()}
            ended += self.episodes.add(Step({}, reward, is_first, is_last, is_last), everywhere, infos)
        return ended

    def _check_failures(self, broken: int) -> None:
        """Count environments that were restarted because of numbers that are not finite."""
        if not broken:
            return
        self._envs.failures += broken
        left = self.config.env.restarts - self._envs.failures
        what = " or a mask that allows no action" if self._envs.spaces.mask else ""
        problem = f"{counted(broken, 'environment')} returned a number that is not finite as float32{what}"
        if left < 0:
            raise BrokenEnvironmentError(
                f"{problem}, more often than the {self.config.env.restarts} restarts that env.restarts allows."
            )
        self._envs.tell(f"{problem} and started a new episode; {left} more restarts are allowed.")

    def _collected(self, parameters: list[jax.Array], now: Now) -> tuple[Now, Experience, Outcome]:
        """The new position, the steps' records, leaves (N, time, ...), and what the host gets of them. Compiled."""
        networks: Networks = jax.tree.unflatten(self._networks, parameters)

        def advance(now: Now, _: None) -> tuple[Now, tuple[Experience, Outcome]]:
            step = now.step
            carry = policy_step(networks, step.observation, step.is_first, now.carry, dtype=self._dtype)
            key, this = jax.random.split(now.key)
            state, following, info = self._envs.step(this, now.state, step, carry.action)
            latents = stored_latents(carry.latent.deter, jnp.argmax(carry.latent.stoch, -1))
            record = Experience(
                action=jax.tree.map(lambda x: jnp.where(_expand(step.is_last, x), 0, x), carry.action),
                deter=latents.deter,
                stoch=latents.stoch,
                **step._replace(is_last=step.is_last | following.is_first)._asdict(),
            )
            broken = following.is_first & ~step.is_last
            outcome = Outcome(following.reward, following.is_first, following.is_last, ~step.is_last, broken, info)
            return Now(following, carry, state, key), (record, outcome)

        now, (records, outcome) = jax.lax.scan(advance, now, length=self._steps)
        return now, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), records), outcome

    def _first(self) -> Now:
        """All environments at the beginning of an episode."""
        acting, stepping, key = jax.random.split(jax.random.fold_in(self._keys.act, self.env_steps), 3)
        state, step = self._envs.reset(stepping)
        return Now(step, initial_carry(self.agent.networks, self._envs.num_envs, acting), state, key)


def _steps_per_call(config: Config, capacity: int) -> int:
    """As many steps as it takes all environments to earn an update, but no more than replay holds."""
    decisions = config.replay.batch * config.replay.length / max(config.run.train_ratio, 1e-9)
    longest = min(MOST_STEPS, capacity // config.env.envs)
    return int(np.clip(np.ceil(decisions / config.env.envs), 1, longest))


def _numbers(info: dict[str, np.ndarray], time: int, index: int) -> dict[str, float]:
    """The finite numbers of one environment at one time."""
    return numbers({name: values[time, index] for name, values in info.items()})


def _expand(flags: jax.Array, x: jax.Array) -> jax.Array:
    """(N,) flags with trailing axes that broadcast against x, (N, ...)."""
    return flags.reshape((-1,) + (1,) * (x.ndim - 1))
