"""The training loop (section 5): act, learn, step the environments, record.

Each step of the loop dispatches the acting first, then the updates that are due, and steps the environments while the
device computes. Acting never waits for the updates of its own step, so the policy is at most one step's updates old.
The environments decide which of them take part in a step; nothing else depends on timing, so the same seed gives the
same numbers.

May import: everything below `training`, and of it `clock`, `episodes`, `learning` and `records`.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reverie.agent import Carry, initial_carry, keep_rows, policy_step
from reverie.config import Config
from reverie.envs import AnyEnvironments
from reverie.experience import Experience, Step
from reverie.learner import Networks, StoredLatents
from reverie.training.clock import Clock
from reverie.training.learning import LearningLoop, Progress, Unrecorded
from reverie.training.records import stored_latents


class Now(NamedTuple):
    """Where acting stands between two steps."""

    step: Step  # what the environments showed last
    carry: Carry  # what acting remembers from before


class Loop(LearningLoop[Now]):
    """The training loop for environments that are stepped from Python."""

    kind: ClassVar[str] = "plain"

    def __init__(self, envs: AnyEnvironments, config: Config, clock: Clock, folder: Path | None = None) -> None:
        self._envs = envs
        super().__init__(envs, config, clock, folder)

    def begin(self) -> None:
        """Start an episode in every environment, unless a checkpoint has restored where they stand.

        A resumed run seeds them with its step count too, so that it doesn't repeat the episodes it began with.
        """
        if self._now is not None:
            return
        self._end_episodes()
        step = self._envs.reset(seed=[self.config.seed, self.env_steps] if self.env_steps else None)
        self._now = Now(step, self._initial_carry())

    def step(self) -> Progress:
        """Act, do the updates that are due, step the environments and record.

        Raises:
            OSError: there is no room for a record on disk; nothing has happened.
            Exception: what an environment raised when it may not be restarted any more; a run that is saved then
                begins new episodes when it is resumed.
        """
        self.replay.reserve()
        assert self._now is not None, "begin() comes first"
        (step, carry), ready, newest = self._now, self._envs.ready, self._pending
        # Act: infer the latent state from the observation and sample an action (section 5, acting).
        with self.clock.measure("act"):
            acted = self._act(step, ready, carry)
        # Learn: train world model, critic and actor on replayed sequences (sections 3 to 5), behind the acting.
        updates, skipped = self._learn()
        # Fetch the actions once the update that their parameters come from is done.
        with self.clock.measure("learn"):
            jax.block_until_ready(newest and newest.finite)
        with self.clock.measure("act", again=True):
            carry = acted[0]
            action, latents = jax.device_get(acted[1:])
        # Step the environments while the device computes the updates (section 1).
        self._now = None
        with self.clock.measure("env"):
            following = self._envs.step(action)
        # Record the step with the action that followed it and the latents it led to (section 5, replay).
        with self.clock.measure("data"):
            self._record(step, ready, action, latents)
        self._now = Now(following, carry)
        self._unrecorded = Unrecorded(following, self._envs.ready)
        decisions = int(np.sum(ready & ~step.is_last))
        self.env_steps += decisions
        self._earn(decisions)
        episodes = self.episodes.add(following, self._envs.ready, self._envs.final_info)
        return Progress(episodes, updates, skipped)

    def _act(self, step: Step, ready: np.ndarray, carry: Carry) -> tuple[Carry, dict[str, jax.Array], StoredLatents]:
        """Act in all environments, so that one program serves any number of ready ones; only these change."""
        given = self._parameters, step.observation, step.is_first, carry, ready
        return _act(*given, structure=self._networks, dtype=self._dtype)

    def _record(self, step: Step, ready: np.ndarray, action: dict[str, np.ndarray], latents: StoredLatents) -> None:
        """Record the step and the action taken in it: zeros in an episode's last step, where none is executed."""
        executed = {
            name: np.where(step.is_last.reshape((-1,) + (1,) * (x.ndim - 1)), np.zeros_like(x), x)
            for name, x in action.items()
        }
        self.replay.add(Experience(action=executed, deter=latents.deter, stoch=latents.stoch, **step._asdict()), ready)

    def _first(self) -> Now:
        """Zeros: for shapes and dtypes."""
        count = self._envs.num_envs
        flags = np.zeros(count, bool)
        step = Step(self._envs.spaces.zero_observation(count), np.zeros(count, np.float32), flags, flags, flags)
        return Now(step, self._initial_carry())

    def _initial_carry(self) -> Carry:
        """Before the first observation. Its key is an array of plain numbers, with which a call returns sooner."""
        key = jax.random.key_data(jax.random.fold_in(self._keys.act, self.env_steps))
        return initial_carry(self.agent.networks, self._envs.num_envs, key)

    def _saved(self, now: Now) -> Any:
        """Without the names of its fields, which checkpoints of this kind don't have."""
        return tuple(super()._saved(now))


@partial(jax.jit, static_argnames=("structure", "dtype"))
def _act(
    parameters: list[jax.Array],
    observation: dict[str, jax.Array],
    is_first: jax.Array,
    carry: Carry,
    ready: jax.Array,
    *,
    structure: Any,
    dtype: Any,
) -> tuple[Carry, dict[str, jax.Array], StoredLatents]:
    """The new carry in the rows that are `ready`, its action, and the latents for replay."""
    networks: Networks = jax.tree.unflatten(structure, parameters)
    carry = keep_rows(ready, policy_step(networks, observation, is_first, carry, dtype=dtype), carry)
    return carry, carry.action, stored_latents(carry.latent.deter, jnp.argmax(carry.latent.stoch, -1))
