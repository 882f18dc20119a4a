"""The training loop (section 5): act, record, replay, update.

Per step of the environments the loop first sends the acting off, then the updates that are due, and steps the
environments while the device computes: acting never waits for the updates of its own step, and the policy is at
most one step's updates behind. Updates are sent off one ahead of their results, so that the next batch is drawn and
copied while the device works. Which environments take part in a step is theirs to say; nothing else depends on
timing: the same seed gives the same numbers.

May import: everything below `training`, and of it `clock` and `episodes`.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from reverie.agent import Agent, Carry, Keys, initial_carry, keep_rows, policy_step
from reverie.compiling import compiler_options
from reverie.config import Config
from reverie.envs import AnyEnvironments
from reverie.envs.compiled import CompiledEnvironments
from reverie.experience import Experience, Step
from reverie.learner import Latents, Learner, LearnerState, UpdateOutput, compute_dtype
from reverie.replay import Replay, Rows
from reverie.spaces import Spaces
from reverie.storage import as_tree
from reverie.training.clock import Clock
from reverie.training.episodes import Episodes
from reverie.tuned import best_forms


class Pending(NamedTuple):
    """Of the newest update, what replay has not yet heard of."""

    rows: Rows
    latents: Latents
    finite: Any  # (), bool: if the update was skipped, its latents are of no use


class Progress(NamedTuple):
    """What a step of the loop brought."""

    episodes: list[tuple[float, int]]  # return and length of those that ended
    updates: list[UpdateOutput]  # of those that were sent off; the device may still be computing them
    skipped: int  # the longest series, up to now, of updates that were not made


class Loop:
    """Environments, replay and learner, a step of the environments at a time.

    Attributes:
        agent: acts with the newest parameters.
        replay: the experience.
        env_steps: decisions taken so far, by all environments together.
        updates: gradient steps so far.
        episodes: the finished ones.
        skipped: updates in a row that were not made, as their loss or gradient was not finite.
        skipped_batch: that of the last one which was not made.
        clock: counts where the time goes.
        whole: False after an environment failed: the step that was broken off is not part of the run.
    """

    kind = "plain"  # what is carried from step to step belongs to one kind of loop

    def __init__(
        self, envs: AnyEnvironments | CompiledEnvironments, config: Config, clock: Clock, folder: Path | None = None
    ) -> None:
        """`folder`: for a replay that is kept on disk."""
        self.config, self.clock = config, clock
        self._envs: Any = envs
        self._keys = Keys.of(config.seed)
        forms = best_forms(compute_dtype(config.model))
        learner = Learner(envs.spaces.observation, envs.spaces.action, config, forms)
        self._dtype = learner.dtype
        self._update = jax.jit(
            partial(_update, learner, self._keys.update), donate_argnums=0, compiler_options=compiler_options()
        )
        state = learner.fresh(self._keys.init)
        self.agent = Agent(envs.spaces, config, networks=state.networks)
        self.state = state
        self.replay = empty_replay(envs.spaces, config, folder)
        self.episodes = Episodes(envs.num_envs)
        self.env_steps, self.updates, self.skipped = 0, 0, 0
        self.skipped_batch: Experience | None = None
        self._batch: Experience | None = None  # that of the newest update
        self._credit = 0.0  # updates that are due, and a fraction
        self._pending: Pending | None = None
        self._now: Any = None  # (Step, Carry): what was seen last, and what acting remembers of before

    @property
    def state(self) -> LearnerState:
        """Parameters, optimiser and the rest that an update changes."""
        return self._state

    @state.setter
    def state(self, state: LearnerState) -> None:
        self._state = state
        self.agent.networks = state.networks  # those before were given away
        # Taken apart once per update: Python would need longer for it, at every step, than for the rest of a call.
        self._parameters, self._structure = jax.tree.flatten(state.networks)

    @property
    def whole(self) -> bool:
        return self._now is not None

    def begin(self) -> None:
        """New episodes everywhere, unless the environments stand where the run goes on.

        Others than those that the run began with, if it is continued.
        """
        if self._now is not None:
            return
        self.episodes.begin()
        step = self._envs.reset(seed=[self.config.seed, self.env_steps] if self.env_steps else None)
        key = jax.random.fold_in(self._keys.act, self.env_steps)
        self._now = step, initial_carry(self.state.networks, self._envs.num_envs, key)

    def step(self) -> Progress:
        """Act, do the updates that are due, step the environments and record.

        Raises:
            OSError: there is no room for a record on disk; nothing has happened.
            Exception: an environment's own, when it fails for good; the loop is not `whole` then.
        """
        self.replay.reserve()
        assert self._now is not None, "begin() comes first"
        (step, carry), ready, newest = self._now, self._envs.ready, self._pending
        with self.clock.measure("act"):
            acted = self._act(step, ready, carry)
        updates, skipped = self._learn()
        with self.clock.measure("learn"):
            jax.block_until_ready(newest)  # the update that the acting parameters come from
        with self.clock.measure("act", again=True):
            carry = acted[0]
            action, latents = jax.device_get(acted[1:])
        self._now = None
        with self.clock.measure("env"):
            following = self._envs.step(action)
        self._now = following, carry
        with self.clock.measure("data"):
            self._record(step, ready, action, latents)
        decisions = int(np.sum(ready & ~step.is_last))
        self.env_steps += decisions
        self._earn(decisions)
        return Progress(self.episodes.add(following, self._envs.ready), updates, skipped)

    def _act(self, step: Step, ready: np.ndarray, carry: Carry) -> tuple[Carry, dict[str, jax.Array], Latents]:
        """For all environments, so that one program serves any number of ready ones; of these alone it counts."""
        given = self._parameters, step.observation, step.is_first, carry, ready
        return _act(*given, structure=self._structure, dtype=self._dtype)

    def _record(self, step: Step, ready: np.ndarray, action: dict[str, np.ndarray], latents: Latents) -> None:
        """The step and the action taken in it; zeros at the last step, where none is executed."""
        executed = {
            name: np.where(step.is_last.reshape((-1,) + (1,) * (x.ndim - 1)), np.zeros_like(x), x)
            for name, x in action.items()
        }
        self.replay.add(Experience(action=executed, deter=latents.deter, stoch=latents.stoch, **step._asdict()), ready)

    def _earn(self, decisions: int) -> None:
        """Every decision earns a share of an update, from when there is a batch of experience on."""
        batch = self.config.replay.batch * self.config.replay.length
        if len(self.replay) >= batch and self.replay.ready():
            self._credit += decisions * self.config.run.train_ratio / batch

    def _learn(self) -> tuple[list[UpdateOutput], int]:
        """Send off the updates that are due. Waits for the one before the newest, never for the newest."""
        outputs, skipped = [], self.skipped
        while self._credit >= 1:
            self._credit -= 1
            with self.clock.measure("data"):
                sample = self.replay.sample(self.config.replay.batch)
                batch = jax.device_put(sample.experience)
            with self.clock.measure("learn"):
                self.state, output = self._update(self.state, batch)
                jax.block_until_ready(self._pending)
            self._write_back()
            skipped = max(skipped, self.skipped)
            self._pending, self._batch = Pending(sample.rows, output.latents, output.finite), sample.experience
            self.updates += 1
            outputs.append(output)
        return outputs, skipped

    def _write_back(self) -> None:
        """Latents of the newest update into replay, where later sequences start from them."""
        if self._pending is None:
            return
        with self.clock.measure("data"):
            finite = bool(self._pending.finite)
            if finite:
                self.replay.write_latents(self._pending.rows, *self._pending.latents)
        if finite:
            self.skipped = 0
        else:
            self.skipped, self.skipped_batch = self.skipped + 1, self._batch

    # Saving and continuing: `progress` and `arrays` together with `state` and `replay` are all that a run is.

    def progress(self) -> dict[str, Any]:
        """Counters, and where the environments stand if they can say so, in JSON's types."""
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "credit": self._credit,
            "episodes": self.episodes.state(),
            "pending": self._pending is not None,
            "loop": self.kind,
            "envs": self._envs.state() if self._now else None,
        }

    def arrays(self, progress: dict[str, Any]) -> dict[str, Any]:
        """What is carried from step to step and belongs to this `progress`."""
        carried: dict[str, Any] = {"pending": self._pending} if self._pending else {}
        if self._now and progress["envs"] is not None:
            carried["now"] = _without_keys(self._now)
        return carried

    def restore(self, state: LearnerState, progress: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Go on from what was saved; the replay has been filled."""
        self.state = jax.device_put(state)
        self.env_steps, self.updates, self._credit = progress["env_steps"], progress["updates"], progress["credit"]
        self.episodes.restore(progress["episodes"])
        like: dict[str, Any] = {}
        if progress["pending"]:
            like["pending"] = _pending_like(self.config)
        if progress.get("loop", "plain") != self.kind:  # another env.mode: new episodes begin
            arrays = {name: x for name, x in arrays.items() if not name.startswith("['now']")}
        elif progress["envs"] is not None:
            like["now"] = jax.eval_shape(lambda: _without_keys(self._first_now()))
        carried = as_tree(like, arrays, "the newest checkpoint")
        self._pending = carried.get("pending")
        if "now" in like and self._envs.restore(progress["envs"], carried["now"][0].is_last):
            self._now = _with_keys(carried["now"], jax.eval_shape(self._first_now))

    def _first_now(self) -> Any:
        """What is carried, as zeros: for shapes and dtypes."""
        count = self._envs.num_envs
        flags = np.zeros(count, bool)
        step = Step(self._envs.spaces.zero_observation(count), np.zeros(count, np.float32), flags, flags, flags)
        return step, initial_carry(self.state.networks, count, self._keys.act)


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _without_keys(tree: Any) -> Any:
    """With random keys as plain numbers, which a file can hold."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _with_keys(tree: Any, like: Any) -> Any:
    """The inverse, where `like` has keys."""
    return jax.tree.map(lambda x, like: jax.random.wrap_key_data(x) if _is_key(like) else x, tree, like)


def _pending_like(config: Config) -> Pending:
    """Shapes and dtypes of latents that wait to be written back."""
    rows, trained = (config.replay.batch,), (config.replay.batch, config.replay.length)
    latents = Latents(
        jnp.zeros((*trained, config.model.deter), jnp.bfloat16), jnp.zeros((*trained, config.model.groups), jnp.uint8)
    )
    return Pending(Rows(np.zeros(rows, np.int64), np.zeros(rows, np.int64)), latents, np.zeros((), bool))


def _update(
    learner: Learner, key: PRNGKeyArray, state: LearnerState, batch: Experience
) -> tuple[LearnerState, UpdateOutput]:
    """The update with its key made from the count of updates, so that a continued run draws the same numbers."""
    state, output = learner.update(state, batch, jax.random.fold_in(key, state.updates))
    return state, output._replace(latents=stored_latents(*output.latents))


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
) -> tuple[Carry, dict[str, jax.Array], Latents]:
    """The new carry in the rows that are `ready`, with its action and what replay keeps of it."""
    networks = jax.tree.unflatten(structure, parameters)
    carry = keep_rows(ready, policy_step(networks, observation, is_first, carry, dtype=dtype), carry)
    return carry, carry.action, stored_latents(carry.latent.deter, jnp.argmax(carry.latent.stoch, -1))


@jax.jit
def stored_latents(deter: jax.Array, stoch: jax.Array) -> Latents:
    """As replay keeps them: bfloat16, and class indices as bytes."""
    return Latents(deter.astype(jnp.bfloat16), stoch.astype(jnp.uint8))


def empty_replay(spaces: Spaces, config: Config, folder: Path | None = None) -> Replay:
    """As a run begins with; it takes no room yet."""
    return Replay(
        _template(spaces, config),
        capacity=_capacity(config),
        num_envs=config.env.envs,
        sequence=config.replay.length + 1,
        seed=config.seed,
        home=config.replay.home,
        folder=folder,
    )


def _capacity(config: Config) -> int:
    """What is allocated at once must not be more than a run can fill: two records a step, if episodes are short."""
    capacity, envs = config.replay.capacity, config.env.envs
    if config.replay.home != "device":
        return capacity
    each = 2 * config.run.steps + 1  # where one environment might take all of the steps
    if config.env.mode != "async":
        each = each // envs + 1
    return min(capacity, envs * max(each, config.replay.length + 1))


def _template(spaces: Spaces, config: Config) -> Experience:
    """Shapes and dtypes of one record."""
    flag = np.zeros((), bool)
    return Experience(
        observation={key: rows[0] for key, rows in spaces.zero_observation(1).items()},
        action={key: rows[0] for key, rows in spaces.zero_action(1).items()},
        reward=np.zeros((), np.float32),
        is_first=flag,
        is_last=flag,
        is_terminal=flag,
        deter=np.zeros(config.model.deter, jnp.bfloat16),
        stoch=np.zeros(config.model.groups, np.uint8),
    )
