"""The half of the training loop that all kinds of environments share: replay, updates and what a checkpoint carries.

Updates are dispatched one ahead of their results, so that the next batch is drawn and copied while the device works.

May import: everything below `training`, and of it `clock`, `episodes`, `packed` and `records`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from reverie.agent import Agent, Keys
from reverie.compiling import compiler_options
from reverie.config import Config
from reverie.envs.interface import BaseEnvironments
from reverie.experience import Experience, Step
from reverie.learner import TEXTBOOK, Learner, LearnerState, StoredLatents, UpdateOutput, compute_dtype
from reverie.replay import Rows
from reverie.storage import as_tree
from reverie.training.clock import Clock
from reverie.training.episodes import Episode, Episodes
from reverie.training.packed import Packed
from reverie.training.records import empty_replay, stored_latents
from reverie.tuned import best_forms

Position = TypeVar("Position", bound="tuple[Any, ...]")
"""Where acting stands between two steps; a NamedTuple whose first field is the last `Step`."""

# Updates that are finished after `cancel`: with these a resumed run equals an uninterrupted one; more take too long.
FINISHED = 16


class Pending(NamedTuple):
    """Results of the newest update that replay has not received yet."""

    rows: Rows
    latents: StoredLatents
    finite: Any  # (), bool: whether the update was applied; the latents of a skipped one are useless


class Unrecorded(NamedTuple):
    """The newest step while replay has no record of it, which has to wait for the action."""

    step: Step
    which: Any  # (N,) bool: the environments that took part in it


class Progress(NamedTuple):
    """What one step of the loop did."""

    episodes: list[Episode]  # those that ended
    updates: list[UpdateOutput]  # those that were dispatched; the device may still be computing them
    skipped: int  # the longest run of skipped updates in a row, up to now


class LearningLoop(ABC, Generic[Position]):
    """Environments, replay and learner, advanced one step at a time.

    Attributes:
        agent: acts with the newest parameters.
        replay: the replay buffer.
        env_steps: environment steps (decisions) so far, over all environments.
        updates: gradient steps so far.
        episodes: statistics of the episodes so far.
        skipped: updates in a row, up to now, that were skipped because their loss or gradient was not finite.
        skipped_batch: the batch of the newest skipped update.
        clock: measures where the time goes.
    """

    kind: ClassVar[str]  # names the type of `Position` in checkpoints

    def __init__(
        self,
        envs: BaseEnvironments,
        config: Config,
        clock: Clock,
        folder: Path | None = None,
    ) -> None:
        """`folder` is for a replay buffer on disk."""
        self.config, self.clock = config, clock
        self._environments = envs
        self._keys = Keys.of(config.seed)
        forms = best_forms(compute_dtype(config.model)) if config.model.forms == "auto" else TEXTBOOK
        learner = Learner(envs.spaces.observation, envs.spaces.action, config, forms)
        self._dtype = learner.dtype
        state = learner.fresh(self._keys.init)
        self.agent = Agent(envs.spaces, config, networks=state.networks)
        # Compiled functions take the state as a list of its leaves: at each call, JAX would walk through a tree of
        # modules in Python, which takes twice as long as all the rest of the call.
        self._structure: Any = jax.tree.structure(state)
        self._networks: Any = jax.tree.structure(state.networks)
        self._update = jax.jit(
            partial(_update, learner, self._structure), donate_argnums=0, compiler_options=compiler_options()
        )
        self.state = state
        self.replay = empty_replay(envs.spaces, config, folder)
        self.episodes = Episodes(envs.num_envs)
        self.env_steps, self.updates, self.skipped = 0, 0, 0
        self.skipped_batch: Experience | None = None
        self._batch: Experience | None = None  # of the newest update
        self._credit = 0.0  # updates that are due, and a fraction
        self._cancelled = False
        self._pending: Pending | None = None
        # None while the environments step, and after one has failed: a resumed run then begins new episodes.
        self._now: Position | None = None
        self._unrecorded: Unrecorded | None = None  # kept by loops whose environments may be unable to resume

    @property
    def state(self) -> LearnerState:
        """Everything that an update changes: parameters, optimizer, return scale."""
        return jax.tree.unflatten(self._structure, self._leaves)

    @state.setter
    def state(self, state: LearnerState) -> None:
        self._leaves = jax.tree.leaves(state)
        self.agent.networks = state.networks

    @property
    def _parameters(self) -> list[jax.Array]:
        """The leaves of the networks, with which those of the state begin."""
        return self._leaves[: self._networks.num_leaves]

    @abstractmethod
    def begin(self) -> None:
        """Start an episode in every environment, unless a checkpoint has restored where they stand."""

    @abstractmethod
    def step(self) -> Progress:
        """Act, learn, step the environments and record (section 5)."""

    def cancel(self) -> None:
        """Ask for a quick end: a step that has many updates left to do leaves them for the resumed run."""
        self._cancelled = True

    # Learning: each decision earns a share of an update; whole updates are dispatched in the next step.

    def _earn(self, decisions: int) -> None:
        """Credit updates for new decisions, as soon as replay holds a batch."""
        batch = self.config.replay.batch * self.config.replay.length
        if len(self.replay) >= batch and self.replay.ready():
            self._credit += decisions * self.config.run.train_ratio / batch

    def _learn(self) -> tuple[list[UpdateOutput], int]:
        """Dispatch the updates that are due. Waits for the second newest, never for the newest.

        Returns:
            Their outputs, and the longest run of skipped updates in a row up to now.
        """
        outputs, skipped = [], self.skipped
        while self._credit >= 1 and not (self._cancelled and self._credit > FINISHED):
            self._credit -= 1
            # Draw a batch while the device computes the previous update.
            with self.clock.measure("data"):
                batch, rows = self.replay.sample(self.config.replay.batch)
            # Train the world model, the critic and the actor: one gradient step (sections 3 and 4).
            with self.clock.measure("learn"):
                self._leaves, output = self._update(self._leaves, batch, self._keys.update)
            # Store the previous update's latents once it is done; later sequences start from them.
            self._write_back()
            skipped = max(skipped, self.skipped)
            self._pending, self._batch = Pending(rows, output.latents, output.finite), batch
            self.updates += 1
            outputs.append(output)
        if outputs:
            self.agent.networks = jax.tree.unflatten(self._networks, self._parameters)  # its own ones were donated
        return outputs, skipped

    def _write_back(self) -> None:
        """Wait for the pending update and write its latents into replay, or count it if it was skipped."""
        if self._pending is None:
            return
        rows, latents, finite = self._pending
        with self.clock.measure("learn"):
            applied = bool(finite)  # waits for the update
        if applied:
            with self.clock.measure("data"):
                self.replay.write_latents(rows, *latents)
            self.skipped = 0
        else:
            self.skipped, self.skipped_batch = self.skipped + 1, self._batch

    # Checkpoints: `progress` and `arrays`, with `state` and `replay`, are the whole run.

    def progress(self) -> dict[str, Any]:
        """Counters, and the environments' states if they can report them, in JSON's types."""
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "credit": self._credit,
            "episodes": self.episodes.state(),
            "pending": self._pending is not None,
            "loop": self.kind,
            "envs": self._environments.state() if self._now else None,
        }

    def arrays(self, progress: dict[str, Any]) -> dict[str, Any]:
        """The arrays that belong to this `progress`: the pending update, and where acting stands."""
        carried: dict[str, Any] = {"pending": self._pending} if self._pending else {}
        if self._now and progress["envs"] is not None:
            carried["now"] = self._saved(self._now)
        elif self._unrecorded:
            carried["unrecorded"] = self._unrecorded
        return carried

    def restore(self, state: LearnerState, progress: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Resume from a checkpoint, whose replay has been restored already."""
        self.state = jax.device_put(state)
        self.env_steps, self.updates, self._credit = progress["env_steps"], progress["updates"], progress["credit"]
        self.episodes.restore(progress["episodes"])
        like: dict[str, Any] = {}
        if progress["pending"]:
            like["pending"] = _pending_like(self.config)
        if progress.get("loop", "plain") != self.kind:  # env.mode has changed: new episodes begin
            arrays = {name: x for name, x in arrays.items() if not name.startswith("['now']")}
        elif progress["envs"] is not None:
            like["now"] = jax.eval_shape(lambda: self._saved(self._first()))
        if any(name.startswith("['unrecorded']") for name in arrays):
            like["unrecorded"] = _unrecorded_like(self._environments)
        carried = as_tree(like, arrays, "the newest checkpoint")
        self._pending, self._unrecorded = carried.get("pending"), carried.get("unrecorded")
        if "now" in like and self._environments.restore(progress["envs"], carried["now"][0].is_last):
            self._now = _with_keys(carried["now"], jax.eval_shape(self._first))

    def _end_episodes(self) -> None:
        """Give up unfinished episodes, because all environments start new ones.

        A step that replay has not received is recorded with its reward and whether it is terminal. The next record is
        the first of another episode, so neither its action nor its latents are used.
        """
        self.episodes.begin()
        if self._unrecorded is None:
            return
        step, which = self._unrecorded
        count = self._environments.num_envs
        action = self._environments.spaces.zero_action(count)
        deter, stoch = (jnp.zeros((count, size)) for size in (self.config.model.deter, self.config.model.groups))
        record = step._replace(is_last=np.ones(count, bool))._asdict()
        self.replay.reserve()
        self.replay.add(Experience(action=action, **stored_latents(deter, stoch)._asdict(), **record), which)
        self._unrecorded = None

    @abstractmethod
    def _first(self) -> Position:
        """The position at the start of an episode; as zeros where only shapes and dtypes matter."""

    def _saved(self, now: Position) -> Any:
        """A position as checkpoints hold it: random keys are plain numbers."""
        return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, now)


def _update(
    learner: Learner, structure: Any, leaves: list[jax.Array], batch: Experience, key: PRNGKeyArray
) -> tuple[list[jax.Array], UpdateOutput]:
    """The update on the leaves of a state, with its metrics packed and its latents as replay stores them.

    Its key follows from the update count, so that a resumed run draws the same numbers. The run's key is an argument:
    as a constant it would make a program of its own for each seed.
    """
    state: LearnerState = jax.tree.unflatten(structure, leaves)
    state, output = learner.update(state, batch, jax.random.fold_in(key, state.updates))
    latents, metrics = stored_latents(*output.latents), Packed.of(output.metrics)
    return jax.tree.leaves(state), output._replace(latents=latents, metrics=metrics)


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _with_keys(saved: Any, like: Any) -> Any:
    """The inverse of `_saved`: in the structure of `like`, with random keys where it has them."""
    leaves, structure = jax.tree.flatten(like)
    pairs = zip(jax.tree.leaves(saved), leaves, strict=True)
    return jax.tree.unflatten(structure, [jax.random.wrap_key_data(x) if _is_key(like) else x for x, like in pairs])


def _unrecorded_like(envs: BaseEnvironments) -> Unrecorded:
    """An unrecorded step as zeros, for shapes and dtypes."""
    flags = np.zeros(envs.num_envs, bool)
    reward = np.zeros(envs.num_envs, np.float32)
    return Unrecorded(Step(envs.spaces.zero_observation(envs.num_envs), reward, flags, flags, flags), flags)


def _pending_like(config: Config) -> Pending:
    """A pending update as zeros, for shapes and dtypes."""
    rows, trained = (config.replay.batch,), (config.replay.batch, config.replay.length)
    latents = StoredLatents(
        jnp.zeros((*trained, config.model.deter), jnp.bfloat16), jnp.zeros((*trained, config.model.groups), jnp.uint8)
    )
    return Pending(Rows(np.zeros(rows, np.int64), np.zeros(rows, np.int64)), latents, np.zeros((), bool))
