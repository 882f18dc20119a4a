"""The training loop (section 5): act, record, replay, update.

Per step of the environments the loop first sends the acting off, then the updates that are due, and steps the
environments while the device computes: acting never waits for the updates of its own step, and the policy is at
most one step's updates behind. Updates are sent off one ahead of their results, so that the next batch is drawn and
copied while the device works. Nothing depends on timing: the same seed gives the same numbers.

May import: everything below `training`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from reverie.agent import Agent, Carry, Keys, initial_carry, policy_step
from reverie.config import Config
from reverie.envs import Environments
from reverie.errors import InputError, ReverieError
from reverie.experience import Experience, Step
from reverie.learner import Latents, Learner, LearnerState, UpdateOutput
from reverie.replay import Replay, Rows
from reverie.spaces import Spaces
from reverie.storage import as_tree
from reverie.training import memory
from reverie.training.clock import Clock
from reverie.training.display import Display, cautions, describe
from reverie.training.episodes import Episodes
from reverie.training.folder import Restored, RunFolder, holds_checkpoint
from reverie.training.metrics import MetricsWriter
from reverie.training.report import Report
from reverie.training.signals import stopping

Resume = Literal["auto", "must", "never"]

# Updates in a row whose loss or gradient is not finite, after which the batch is kept for inspection, and the run ends.
KEEP_BATCH_AFTER, STOP_AFTER = 5, 20


class DivergedError(ReverieError, RuntimeError):
    """One update after the other had a loss or gradient that was not finite."""


class Pending(NamedTuple):
    """Of the newest update, what replay has not yet heard of."""

    rows: Rows
    latents: Latents
    finite: Any  # (), bool: if the update was skipped, its latents are of no use


def train(
    env: Any,
    config: Config | None = None,
    *,
    steps: int | None = None,
    logdir: str | Path | None = None,
    resume: Resume = "auto",
    quiet: bool = False,
    until: Callable[["Trainer"], bool] | None = None,
) -> Agent:
    """Train an agent; the one call that does everything.

    Args:
        env: the id of a registered Gymnasium environment, "module:factory", a callable that makes an environment,
            or an environment (then one of it is stepped, and closed at the end).
        config: everything that decides a run; the defaults are the paper's with the smallest model.
        steps: environment steps, instead of `config.run.steps`.
        logdir: the run's folder, for checkpoints and metrics. None: nothing is written.
        resume: whether to continue a run that is there already: "auto" if there is one, "must" or fail, "never" but
            fail if there is one.
        quiet: print nothing.
        until: called after each logged row; training ends when it returns True.

    Returns:
        The agent, with the newest parameters.

    Raises:
        ReverieError: an environment, config or folder that doesn't fit; the message says what to do.
    """
    trainer = Trainer(env, config, steps=steps, logdir=logdir, resume=resume, quiet=quiet)
    try:
        return trainer.run(until)
    finally:
        trainer.close()


class Trainer:
    """A run: environments, replay, learner and folder, and the loop over them.

    Attributes:
        agent: acts with the newest parameters.
        env_steps: decisions taken so far, by all environments together.
        updates: gradient steps so far.
        episodes: the finished ones.
        interrupted: whether a signal ended the run.
    """

    def __init__(
        self,
        env: Any,
        config: Config | None = None,
        *,
        steps: int | None = None,
        logdir: str | Path | None = None,
        resume: Resume = "auto",
        quiet: bool = False,
    ):
        config = config or Config()
        if steps is not None:
            config = replace(config, run=replace(config.run, steps=steps))
        if not isinstance(env, str) and not callable(env):
            config = replace(config, env=replace(config.env, envs=1))
        self.config, self._keys = config, Keys.of(config.seed)
        with ExitStack() as opened:  # closed at once if one of the next steps fails
            self._envs = Environments(
                env,
                config.env.envs,
                seed=config.seed,
                processes=config.env.processes,
                restarts=config.env.restarts,
                timeout=config.env.timeout,
            )
            opened.callback(self._envs.close)
            self._prepare(config, env_name(env), Path(logdir) if logdir else None, resume, quiet, opened)
            self._opened = opened.pop_all()

    def _prepare(
        self, config: Config, name: str | None, logdir: Path | None, resume: Resume, quiet: bool, opened: ExitStack
    ) -> None:
        """Everything but the environments: fresh, or as the newest checkpoint has it."""
        spaces = self._envs.spaces
        self._learner = Learner(spaces.observation, spaces.action, config)
        self._state: LearnerState = jax.jit(self._learner.init)(self._keys.init)
        self.agent = Agent(spaces, config, networks=self._state.networks)
        self._update = jax.jit(partial(_update, self._learner, self._keys.update), donate_argnums=0)
        self._replay = Replay(
            _template(spaces, config),
            capacity=config.replay.capacity,
            num_envs=config.env.envs,
            sequence=config.replay.length + 1,
            seed=config.seed,
        )
        self.env_steps, self.updates, self._credit = 0, 0, 0.0
        self.episodes = Episodes(config.env.envs)
        self.interrupted = False
        self._pending: Pending | None = None
        self._batch: Experience | None = None  # that of the newest update
        self._skipped = 0  # updates in a row
        self._now: tuple[Step, Carry] | None = None
        self._display = Display(config.run.steps, quiet=quiet)
        opened.callback(self._display.close)
        self._envs.tell = self._display.warn
        self._display.note(describe(self.agent, name or "an environment", self._replay, config.run.steps))
        records = min(config.run.steps, config.replay.capacity)
        memory.check(records, self._replay.nbytes_per_record, config.replay.memory)
        _check_resume(resume, logdir)
        for caution in cautions(self.agent):
            self._display.warn(caution)
        # From here on there is something on disk.
        self._folder = RunFolder(logdir, self.agent, name, config.run.keep) if logdir else None
        writer = None
        if self._folder:
            opened.callback(self._folder.close)
            if restored := self._folder.restore(self._state, self._replay, self._display.warn):
                self._restore(restored)
            writer = MetricsWriter(self._folder.path, tensorboard=config.run.tensorboard, resume_step=self.env_steps)
            opened.callback(writer.close)
        self._report = Report(self._display, writer, self.env_steps, self.updates)
        self._clock = self._report.clock

    def run(self, until: Callable[["Trainer"], bool] | None = None) -> Agent:
        """Train up to `config.run.steps`; saves at intervals, at the end, and when interrupted."""
        if self.env_steps >= self.config.run.steps:
            self._display.note(
                f"This run already has {self.env_steps:,} of {self.config.run.steps:,} steps; "
                "ask for more to continue it."
            )
            return self.agent
        with stopping(self._interrupt):
            try:
                self._loop(until or (lambda trainer: False))
            finally:
                self._display.close()
        self._save(wait=True)
        if self._folder:
            done = "Interrupted" if self.interrupted else "Done"
            again = " Run the same command again to continue." if self.interrupted else ""
            self._display.note(f"{done} after {self.env_steps:,} steps; the run is in {self._folder.path}.{again}")
        return self.agent

    def _interrupt(self) -> None:
        self.interrupted = True
        self._envs.cancel()
        self._display.note("Stopping: saving the run. Press Ctrl-C again to stop without saving.")

    def close(self) -> None:
        """End the environments and wait for files."""
        self._opened.close()

    def _loop(self, until: Callable[["Trainer"], bool]) -> None:
        last_save = Clock()
        step, carry = self._now or self._begin()
        while self.env_steps < self.config.run.steps and not self.interrupted:
            newest = self._pending
            with self._clock.measure("act"):
                acted = self._act(step, carry)
            self._learn()
            with self._clock.measure("learn"):
                jax.block_until_ready(newest)  # the update that the acting parameters come from
            with self._clock.measure("act"):
                carry = acted[0]
                action, latents = jax.device_get(acted[1:])
            following = self._step(action)
            if following is None:
                break
            with self._clock.measure("data"):
                self._record(step, action, latents)
            decisions = int(np.sum(~step.is_last))
            self.env_steps += decisions
            self._earn(decisions)
            for value, length in self.episodes.add(following):
                self._report.episode(self.env_steps, value, length)
            step = following
            self._now = step, carry
            if self._clock.elapsed >= self.config.run.log_every:
                self._log()
                if until(self):
                    break
            if last_save.elapsed >= self.config.run.checkpoint_every:
                last_save = Clock()
                self._save()
        # Updates that the last step earned stay due, so that a continued run does all in the order of one that went on.
        self._log(last=True)

    def _step(self, action: dict[str, np.ndarray]) -> Step | None:
        """Step the environments; if one fails for good, save what was learned until then. None if interrupted."""
        try:
            with self._clock.measure("env"):
                return self._envs.step(action)
        except Exception as error:
            if not _all_finite(self._state.networks):
                raise self._diverged() from error  # no wonder that the actions were refused
            self._now = None  # the step that is broken off is not part of the run
            if self.interrupted:
                return None
            self._save(wait=True)
            raise

    def _first_now(self) -> tuple[Step, Carry]:
        """What the loop carries, as zeros: for shapes and dtypes."""
        count, spaces = self._envs.num_envs, self._envs.spaces
        flags = np.zeros(count, bool)
        step = Step(spaces.zero_observation(count), np.zeros(count, np.float32), flags, flags, flags)
        return step, initial_carry(self._state.networks, count, self._keys.act)

    def _begin(self) -> tuple[Step, Carry]:
        """New episodes everywhere; others than those that the run began with, if it is continued."""
        self.episodes.begin()
        step = self._envs.reset(seed=[self.config.seed, self.env_steps] if self.env_steps else None)
        key = jax.random.fold_in(self._keys.act, self.env_steps)
        return step, initial_carry(self._state.networks, self._envs.num_envs, key)

    def _act(self, step: Step, carry: Carry) -> tuple[Carry, dict[str, jax.Array], Latents]:
        carry = policy_step(self._state.networks, step.observation, step.is_first, carry, dtype=self._learner.dtype)
        return carry, carry.action, stored_latents(carry.latent.deter, jnp.argmax(carry.latent.stoch, -1))

    def _record(self, step: Step, action: dict[str, np.ndarray], latents: Latents) -> None:
        """The step and the action taken in it; zeros at the last step, where none is executed."""
        executed = {
            name: np.where(step.is_last.reshape((-1,) + (1,) * (x.ndim - 1)), np.zeros_like(x), x)
            for name, x in action.items()
        }
        self._replay.add(Experience(action=executed, deter=latents.deter, stoch=latents.stoch, **step._asdict()))

    def _earn(self, decisions: int) -> None:
        """Every decision earns a share of an update, from when there is a batch of experience on."""
        if len(self._replay) >= self.config.replay.batch * self.config.replay.length and self._replay.ready():
            batch = self.config.replay.batch * self.config.replay.length
            self._credit += decisions * self.config.run.train_ratio / batch

    def _learn(self) -> None:
        """Send off the updates that are due. Waits for the one before the newest, never for the newest."""
        while self._credit >= 1:
            self._credit -= 1
            with self._clock.measure("data"):
                sample = self._replay.sample(self.config.replay.batch)
                batch = jax.device_put(sample.experience)
            with self._clock.measure("learn"):
                self._state, output = self._update(self._state, batch)
                self.agent.networks = self._state.networks  # those before are given away
                jax.block_until_ready(self._pending)
            self._report.add(output.metrics, output.finite)
            self._write_back()
            self._pending, self._batch = Pending(sample.rows, output.latents, output.finite), sample.experience
            self.updates += 1

    def _write_back(self) -> None:
        if self._pending is None:
            return
        with self._clock.measure("data"):
            latents, finite = jax.device_get((self._pending.latents, self._pending.finite))
            if finite:
                self._replay.write_latents(self._pending.rows, *latents)
        self._skipped = 0 if finite else self._skipped + 1
        if self._skipped == KEEP_BATCH_AFTER and self._folder and self._batch:
            kept = self._folder.keep_batch(self._batch)
            self._display.warn(f"{self._skipped} updates in a row were skipped; the batch of the last {kept}.")
        if self._skipped == STOP_AFTER:
            self._save(wait=True)
            raise self._diverged()

    def _log(self, last: bool = False) -> None:
        """A row of metrics."""
        if self._folder and (problem := self._folder.problem()):
            self._display.warn(problem)
        values = {
            "env/restarts": float(self._envs.failures),
            "episodes": float(self.episodes.count),
            "replay/records": float(len(self._replay)),
            "replay/bytes": float(self._replay.nbytes),
        }
        self._report.write(self.env_steps, self.updates, values, self.episodes.recent, last=last)

    def _diverged(self) -> DivergedError:
        return DivergedError(
            f"Training diverged after {self.updates} updates: loss or gradient are not finite any more. Parameters are "
            "those of the last good update; lower optimizer.learning_rate or look at the environment's rewards."
        )

    def _save(self, *, wait: bool = False) -> None:
        """A checkpoint of this moment; never one of parameters that aren't finite."""
        if self._folder is None:
            return
        if not _all_finite(self._state.networks):
            self._display.warn("the parameters are not finite; the newest checkpoint stays as it is.")
            return
        self._report.flush()
        with self._clock.measure("log"):
            envs = self._envs.state() if self._now else None
            loop: dict[str, Any] = {"pending": self._pending} if self._pending else {}
            if self._now and envs is not None:
                loop |= {"now": _without_key(self._now)}
            progress = {
                "env_steps": self.env_steps,
                "updates": self.updates,
                "credit": self._credit,
                "episodes": self.episodes.state(),
                "pending": self._pending is not None,
                "envs": envs,
            }
            self._folder.save(self._state, self._replay, loop, progress, wait=wait)
        if wait and (problem := self._folder.problem()):
            self._display.warn(problem)

    def _restore(self, restored: Restored) -> None:
        self._state = jax.device_put(restored.state)
        self.agent.networks = self._state.networks
        progress = restored.progress
        self.env_steps, self.updates, self._credit = progress["env_steps"], progress["updates"], progress["credit"]
        self.episodes.restore(progress["episodes"])
        like: dict[str, Any] = {}
        if progress["pending"]:
            like["pending"] = _pending_like(self.config)
        if progress["envs"] is not None:
            like["now"] = jax.eval_shape(lambda: _without_key(self._first_now()))
        loop = as_tree(like, restored.loop, "the newest checkpoint")
        self._pending = loop.get("pending")
        if "now" in like and self._envs.restore(progress["envs"], loop["now"][0].is_last):
            step, carry = loop["now"]
            self._now = step, jax.device_put(carry._replace(key=jax.random.wrap_key_data(carry.key)))
        self._display.note(
            f"Continuing from {self.env_steps:,} steps, {self.updates:,} updates and {len(self._replay):,} records."
        )


def env_name(env: Any) -> str | None:
    """A name that makes the environment again, as "module:factory" for a function; None if there is none."""
    if isinstance(env, str):
        return env
    module, name = getattr(env, "__module__", None), getattr(env, "__qualname__", None)
    importable = module not in (None, "__main__") and name is not None and "<" not in name
    return f"{module}:{name}" if importable else None


def _check_resume(resume: Resume, logdir: Path | None) -> None:
    """Whether there is a run to continue must be as was asked."""
    found = logdir is not None and holds_checkpoint(logdir)
    if resume == "must" and not found:
        raise InputError(f"There is no run to continue in {logdir}; leave out --resume must to begin one.")
    if resume == "never" and found:
        raise InputError(f"{logdir} holds a run already; choose another logdir, or leave out --resume never.")


def _without_key(now: tuple[Step, Carry]) -> tuple[Step, Carry]:
    """With the random key as plain numbers, which a file can hold."""
    step, carry = now
    return step, carry._replace(key=jax.random.key_data(carry.key))


def _pending_like(config: Config) -> Pending:
    """Shapes and dtypes of latents that wait to be written back."""
    rows, trained = (config.replay.batch,), (config.replay.batch, config.replay.length)
    latents = Latents(
        jnp.zeros((*trained, config.model.deter), jnp.bfloat16), jnp.zeros((*trained, config.model.groups), jnp.uint8)
    )
    return Pending(Rows(np.zeros(rows, np.int64), np.zeros(rows, np.int64)), latents, np.zeros((), bool))


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _update(
    learner: Learner, key: PRNGKeyArray, state: LearnerState, batch: Experience
) -> tuple[LearnerState, UpdateOutput]:
    """The update with its key made from the count of updates, so that a continued run draws the same numbers."""
    state, output = learner.update(state, batch, jax.random.fold_in(key, state.updates))
    return state, output._replace(latents=stored_latents(*output.latents))


@jax.jit
def stored_latents(deter: jax.Array, stoch: jax.Array) -> Latents:
    """As replay keeps them: bfloat16, and class indices as bytes."""
    return Latents(deter.astype(jnp.bfloat16), stoch.astype(jnp.uint8))


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
