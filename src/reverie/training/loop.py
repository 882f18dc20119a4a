"""The training loop (section 5): act, record, replay, update.

Per step of the environments the loop first sends the acting off, then the updates that are due, and steps the
environments while the device computes: acting never waits for the updates of its own step, and the policy is at
most one step's updates behind. Updates are sent off one ahead of their results, so that the next batch is drawn and
copied while the device works. Nothing depends on timing: the same seed gives the same numbers.

May import: everything below `training`.
"""

import math
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from reverie.agent import Agent, Carry, Keys, initial_carry, policy_step
from reverie.config import Config
from reverie.envs import Environments
from reverie.errors import ReverieError
from reverie.experience import Experience, Step
from reverie.learner import Latents, Learner, LearnerState, UpdateOutput
from reverie.replay import Replay
from reverie.replay.replay import Rows
from reverie.spaces import Spaces
from reverie.training.checkpoints import RunFolder
from reverie.training.clock import Clock
from reverie.training.display import Display, cautions, describe
from reverie.training.metrics import MetricsWriter

RECENT = 20  # episodes in the return that is shown


class DivergedError(ReverieError, RuntimeError):
    """The loss or the parameters are no longer finite."""


def train(
    env: Any,
    config: Config | None = None,
    *,
    steps: int | None = None,
    logdir: str | Path | None = None,
    quiet: bool = False,
    until: Callable[["Trainer"], bool] | None = None,
) -> Agent:
    """Train an agent; the one call that does everything.

    Args:
        env: the id of a registered Gymnasium environment, "module:factory", a callable that makes an environment,
            or an environment (then one of it is stepped, and closed at the end).
        config: everything that decides a run; the defaults are the paper's with the smallest model.
        steps: environment steps, instead of `config.run.steps`.
        logdir: the run's folder, for checkpoints and metrics. A run that is there already is continued. None: nothing
            is written.
        quiet: print nothing.
        until: called after each logged row; training ends when it returns True.

    Returns:
        The agent, with the newest parameters.

    Raises:
        ReverieError: an environment, config or folder that doesn't fit; the message says what to do.
    """
    trainer = Trainer(env, config, steps=steps, logdir=logdir, quiet=quiet)
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
        returns: of the most recent episodes.
        interrupted: whether a signal ended the run.
    """

    def __init__(
        self,
        env: Any,
        config: Config | None = None,
        *,
        steps: int | None = None,
        logdir: str | Path | None = None,
        quiet: bool = False,
    ):
        config = config or Config()
        if steps is not None:
            config = replace(config, run=replace(config.run, steps=steps))
        if not isinstance(env, str) and not callable(env):
            config = replace(config, env=replace(config.env, envs=1))
        self.config, self._keys = config, Keys.of(config.seed)
        with ExitStack() as opened:  # closed at once if one of the next steps fails
            self._envs = Environments(env, config.env.envs, seed=config.seed, processes=config.env.processes)
            opened.callback(self._envs.close)
            self._prepare(config, env_name(env), Path(logdir) if logdir else None, quiet, opened)
            self._opened = opened.pop_all()

    def _prepare(self, config: Config, name: str | None, logdir: Path | None, quiet: bool, opened: ExitStack) -> None:
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
        self.env_steps, self.updates, self.episodes, self._credit = 0, 0, 0, 0.0
        self.returns: deque[float] = deque(maxlen=RECENT)
        self.interrupted = False
        self._pending: tuple[Rows, Latents] | None = None
        self._metrics: list[dict[str, jax.Array]] = []  # of all updates since the last report
        self._clock = Clock()
        self._folder = RunFolder(logdir, self.agent, name, config.run.keep) if logdir else None
        if self._folder:
            opened.callback(self._folder.close)
        self._display = Display(config.run.steps, quiet=quiet)
        opened.callback(self._display.close)
        self._display.note(describe(self.agent, name or "an environment", self._replay, config.run.steps))
        for caution in cautions(self.agent):
            self._display.warn(caution)
        if self._folder and self._folder.newest is not None:
            self._restore()
        self._writer = (
            MetricsWriter(self._folder.path, tensorboard=config.run.tensorboard, resume_step=self.env_steps)
            if self._folder
            else None
        )
        if self._writer:
            opened.callback(self._writer.close)
        self._reported = (self.env_steps, self.updates)

    def run(self, until: Callable[["Trainer"], bool] | None = None) -> Agent:
        """Train up to `config.run.steps`; saves at intervals, at the end, and when interrupted."""
        if self.env_steps >= self.config.run.steps:
            self._display.note(
                f"This run already has {self.env_steps:,} of {self.config.run.steps:,} steps; "
                "ask for more to continue it."
            )
            return self.agent
        with self._signals():
            try:
                self._loop(until or (lambda trainer: False))
            finally:
                self._display.close()
        self._save()
        if self._folder:
            done = "Interrupted" if self.interrupted else "Done"
            again = " Run the same command again to continue." if self.interrupted else ""
            self._display.note(f"{done} after {self.env_steps:,} steps; the run is in {self._folder.path}.{again}")
        return self.agent

    def close(self) -> None:
        """End the environments and wait for files."""
        self._opened.close()

    def _loop(self, until: Callable[["Trainer"], bool]) -> None:
        last_save = Clock()
        step, carry = self._begin()
        episode_return, episode_length = np.zeros(self._envs.num_envs), np.zeros(self._envs.num_envs, int)
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
            with self._clock.measure("data"):
                self._record(step, action, latents)
            decisions = int(np.sum(~step.is_last))
            self.env_steps += decisions
            self._earn(decisions)
            episode_return, episode_length = self._episodes(following, episode_return, episode_length)
            step = following
            if self._clock.elapsed >= self.config.run.log_every:
                self._log()
                if until(self):
                    break
            if last_save.elapsed >= self.config.run.checkpoint_every:
                last_save = Clock()
                self._save()
        self._learn()
        if self._metrics or self._reported != (self.env_steps, self.updates):
            self._log(last=True)

    def _step(self, action: dict[str, np.ndarray]) -> Step:
        """Step the environments; if one fails, what was learned until then is saved first."""
        try:
            with self._clock.measure("env"):
                return self._envs.step(action)
        except Exception as error:
            if not _all_finite(self._state.networks):
                raise self._diverged() from error  # no wonder that the actions were refused
            self._save()
            raise

    def _begin(self) -> tuple[Step, Carry]:
        key = jax.random.fold_in(self._keys.act, self.env_steps)
        return self._envs.reset(), initial_carry(self._state.networks, self._envs.num_envs, key)

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
                jax.block_until_ready(self._pending)
            self._metrics.append(output.metrics)
            self._write_back()
            self._pending = (sample.rows, output.latents)
            self.updates += 1
        self.agent.networks = self._state.networks

    def _write_back(self) -> None:
        if self._pending is not None:
            with self._clock.measure("data"):
                rows, latents = self._pending
                self._replay.write_latents(rows, *jax.device_get(latents))

    def _episodes(self, step: Step, returns: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add up returns and lengths; write a row for each episode that ended."""
        returns, lengths = returns + step.reward, lengths + ~step.is_first
        for index in np.flatnonzero(step.is_last):
            self.returns.append(float(returns[index]))
            self.episodes += 1
            if self._writer:
                row = {"episode/return": float(returns[index]), "episode/length": float(lengths[index])}
                self._writer.write(self.env_steps, row)
        return np.where(step.is_last, 0, returns), np.where(step.is_last, 0, lengths)

    def _log(self, last: bool = False) -> None:
        """Average what was measured since the last time; a DivergedError if the loss is not finite.

        The update that the device is at belongs to the next row, so nobody waits for it, unless this is the `last`.
        """
        seconds = max(self._clock.elapsed, 1e-9)
        steps, updates = self._reported
        finished = len(self._metrics) if last else max(0, len(self._metrics) - 1)
        with self._clock.measure("learn"):
            fetched = jax.device_get(self._metrics[:finished])
        self._metrics = self._metrics[finished:]
        values = {name: float(np.mean([row[name] for row in fetched])) for name in (fetched[0] if fetched else {})}
        values |= {
            "updates": float(self.updates),
            "episodes": float(self.episodes),
            "rate/env_steps": (self.env_steps - steps) / seconds,
            "rate/updates": (self.updates - updates) / seconds,
            "replay/records": float(len(self._replay)),
            "replay/bytes": float(self._replay.nbytes),
            **{f"time/{part}": share for part, share in self._clock.shares().items()},
        }
        self._reported = (self.env_steps, self.updates)
        with self._clock.measure("log"):
            if self._writer:
                self._writer.write(self.env_steps, values)
                self._writer.flush()
            self._display.update(self.env_steps, values, list(self.returns))
        if fetched and not math.isfinite(fetched[-1]["opt/loss"]):
            raise self._diverged()

    def _diverged(self) -> DivergedError:
        return DivergedError(
            f"Training diverged after {self.updates} updates: the loss or the parameters are not finite. The newest "
            "checkpoint is from before; lower optimizer.learning_rate or look at the environment's rewards."
        )

    def _save(self) -> None:
        """A checkpoint of this moment; never one of parameters that aren't finite."""
        if self._folder is None:
            return
        if not _all_finite(self._state.networks):
            self._display.warn("the parameters are not finite; the newest checkpoint stays as it is.")
            return
        with self._clock.measure("log"):
            pending = self._pending and {
                "rows": self._pending[0]._asdict(),
                "latents": jax.device_get(self._pending[1])._asdict(),
            }
            progress = {
                "env_steps": self.env_steps,
                "updates": self.updates,
                "episodes": self.episodes,
                "credit": self._credit,
                "returns": list(self.returns),
            }
            replay = self._replay.state() | ({"pending": pending} if pending else {})
            self._folder.save(self._state, replay, progress)

    def _restore(self) -> None:
        assert self._folder is not None
        self._state, replay, progress = self._folder.restore(self._state)
        self.agent.networks = self._state.networks
        if pending := replay.pop("pending", None):
            self._pending = (Rows(**pending["rows"]), Latents(**pending["latents"]))
        self._replay.restore(replay)
        self.env_steps, self.updates = progress["env_steps"], progress["updates"]
        self.episodes, self._credit = progress["episodes"], progress["credit"]
        self.returns.extend(progress["returns"])
        self._display.note(
            f"Continuing from {self.env_steps:,} steps, {self.updates:,} updates and {len(self._replay):,} records."
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the run in order, a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, _: Any) -> None:
            self.interrupted = True
            for name, handler in previous.items():
                signal.signal(name, handler)
            self._display.note("Stopping: saving the run. Press Ctrl-C again to stop without saving.")

        previous = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in previous.items():
                signal.signal(name, handler)


def env_name(env: Any) -> str | None:
    """A name that makes the environment again, as "module:factory" for a function; None if there is none."""
    if isinstance(env, str):
        return env
    module, name = getattr(env, "__module__", None), getattr(env, "__qualname__", None)
    importable = module not in (None, "__main__") and name is not None and "<" not in name
    return f"{module}:{name}" if importable else None


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
