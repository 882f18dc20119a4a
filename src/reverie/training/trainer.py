"""A run from its beginning to its end: opened or continued, shown, saved at intervals, stopped in order.

What is learned, and from what, is `loop`'s affair. May import: everything below `training`, and all of it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from gymnasium.vector import VectorEnv

from reverie.agent import Agent
from reverie.config import Config
from reverie.envs import AnyEnvironments, exists, open_environments
from reverie.envs.compiled import CompiledEnvironments
from reverie.envs.make import EnvLike, find_jax_env
from reverie.envs.suites import suite_of
from reverie.errors import InputError, ReverieError
from reverie.presets import for_suite
from reverie.results import write_report
from reverie.training import memory
from reverie.training.clock import Clock
from reverie.training.compiled import CompiledLoop
from reverie.training.display import Display, cautions, describe
from reverie.training.dreaming import Dreams
from reverie.training.episodes import Episodes
from reverie.training.folder import RunFolder, holds_checkpoint
from reverie.training.loop import Loop
from reverie.training.metrics import open_writer
from reverie.training.periodic import PeriodicEvaluation
from reverie.training.report import Report
from reverie.training.signals import stopping
from reverie.training.weights_and_biases import check_installed

Resume = Literal["auto", "must", "never"]

# Updates in a row whose loss or gradient is not finite, after which the batch is kept for inspection, and the run ends.
KEEP_BATCH_AFTER, STOP_AFTER = 5, 20


class DivergedError(ReverieError, RuntimeError):
    """One update after the other had a loss or gradient that was not finite."""


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
            or an environment (then one of it is stepped, and closed at the end) or a gymnasium.vector.VectorEnv.
        config: everything that decides a run; the defaults are the paper's with the smallest model, for environments
            of a suite with its train ratio, number of environments and steps.
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
    """A run that has been opened; the arguments are those of `train`.

    Attributes:
        loop: what is learned, and from what.
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
        config = config or for_suite(suite_of(env) if isinstance(env, str) else None, Config())
        if steps is not None:
            config = replace(config, run=replace(config.run, steps=steps))
        if exists(env):
            config = _for_existing(env, config)
        self.config, self.interrupted = config, False
        self._clock = Clock()
        self._told_skipped = False
        self._evaluation = PeriodicEvaluation(env, config, lambda sentence: self._display.warn(sentence))
        with ExitStack() as opened:  # closed at once if one of the next steps fails
            self._envs = _environments(env, config)
            opened.callback(self._envs.close)
            opened.callback(self._evaluation.close)
            self._open(env_name(env), Path(logdir) if logdir else None, resume, quiet, opened)
            self._opened = opened.pop_all()

    def _open(self, name: str | None, logdir: Path | None, resume: Resume, quiet: bool, opened: ExitStack) -> None:
        """Everything but the environments: fresh, or as the newest checkpoint has it."""
        run = self.config.run
        if self.config.replay.home == "disk" and logdir is None:
            raise InputError("replay.home is disk, but there is no logdir to keep it in; give one.")
        self.loop = _loop(self._envs, self.config, self._clock, logdir)
        self._display = Display(run.steps, quiet=quiet)
        opened.callback(self._display.close)
        self._envs.tell = self._display.warn
        self._display.note(describe(self.agent, name or "an environment", self.loop.replay, run.steps))
        self._check_room(logdir)
        _check_resume(resume, logdir)
        if run.wandb:
            check_installed()
        for caution in cautions(self.agent):
            self._display.warn(caution)
        # From here on there is something on disk.
        self._folder = RunFolder(logdir, self.agent, name, run.keep) if logdir else None
        writer = self._dreams = None
        if self._folder:
            opened.callback(self._folder.close)
            if restored := self._folder.restore(self.loop.state, self.loop.replay, self._display.warn):
                self.loop.restore(*restored)
                self._display.note(
                    f"Continuing from {self.env_steps:,} steps, {self.updates:,} updates and "
                    f"{len(self.loop.replay):,} records."
                )
            writer = open_writer(self._folder.path, self.config, self.env_steps, self._display.warn)
            opened.callback(writer.close)
            self._dreams = Dreams(self._folder.path / "dreams", self.loop, run.dream_every, self._display.warn)
        self._report = Report(self._display, writer, self._clock, self.env_steps, self.updates)

    def _check_room(self, logdir: Path | None) -> None:
        """That replay can grow as large as this run makes it; on a device it is so from the beginning."""
        config, replay = self.config.replay, self.loop.replay
        on_device = config.home == "device"
        memory.check(
            replay.capacity if on_device else min(self._records(), config.capacity),
            replay.nbytes_per_record,
            config.memory,
            memory.room(
                config.home,
                logdir,
                latents=replay.nbytes_per_latent / replay.nbytes_per_record,
                keep=self.config.run.keep,
            ),
            per_step=2 if on_device else 1,
        )

    def _records(self) -> int:
        """That this run makes at least; on a disk each stream has as much room as the longest, whichever that is."""
        env = self.config.env
        alone = env.mode == "async" and self.config.replay.home == "disk"
        return self.config.run.steps * (env.envs if alone else 1)

    @property
    def agent(self) -> Agent:
        """Acts with the newest parameters."""
        return self.loop.agent

    @property
    def env_steps(self) -> int:
        """Decisions taken so far, by all environments together."""
        return self.loop.env_steps

    @property
    def updates(self) -> int:
        """Gradient steps so far."""
        return self.loop.updates

    @property
    def episodes(self) -> Episodes:
        """The finished ones."""
        return self.loop.episodes

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
                self._run(until or (lambda trainer: False))
            finally:
                self._display.close()
        self._save(wait=True)
        self._dream(last=True)
        self._write_page()
        if self._folder:
            done = "Interrupted" if self.interrupted else "Done"
            again = " Run the same command again to continue." if self.interrupted else ""
            self._display.note(
                f"{done} after {self.env_steps:,} steps; the run is in {self._folder.path}, on one page in "
                f"report.html.{again}"
            )
        return self.agent

    def close(self) -> None:
        """End the environments and wait for files."""
        self._opened.close()

    def _interrupt(self) -> None:
        self.interrupted = True
        self._envs.cancel()
        self._evaluation.cancel()
        self._display.note("Stopping: saving the run. Press Ctrl-C again to stop without saving.")

    def _run(self, until: Callable[["Trainer"], bool]) -> None:
        last_save = Clock()
        self._clock.shares()  # opening the run is no part of the first row
        self.loop.begin()
        while self.env_steps < self.config.run.steps and not self.interrupted:
            before = self.env_steps
            if not self._step():
                break
            if self._evaluation.due(before, self.env_steps):
                self._evaluate()
            if self._clock.elapsed >= self.config.run.log_every:
                self._log()
                if until(self):
                    break
            self._dream()
            if last_save.elapsed >= self.config.run.checkpoint_every:
                last_save = Clock()
                self._save()
        # Updates that the last step earned stay due, so that a continued run does all in the order of one that went on.
        self._log(last=True)

    def _step(self) -> bool:
        """A step of the loop; if an environment fails for good or replay has no room, the run is saved first."""
        try:
            progress = self.loop.step()
        except Exception as error:
            if self.loop.whole and not isinstance(error, OSError):
                raise
            if not _all_finite(self.loop.state.networks):
                raise self._diverged() from error  # no wonder that the actions were refused
            if self.interrupted:
                return False
            self._save(wait=True)
            raise
        for output in progress.updates:
            self._report.add(output.metrics, output.finite)
        for value, length in progress.episodes:
            self._report.episode(self.env_steps, value, length)
        self._check_skipped(progress.skipped)
        return True

    def _evaluate(self) -> None:
        with self._clock.measure("eval"):
            result = self._evaluation.play(self.agent)
        if result is not None:
            self._report.evaluation(self.env_steps, result)

    def _check_skipped(self, skipped: int) -> None:
        """`skipped`: so many updates in a row."""
        if skipped >= KEEP_BATCH_AFTER and not self._told_skipped and self._folder and self.loop.skipped_batch:
            kept = self._folder.keep_batch(self.loop.skipped_batch)
            self._display.warn(f"{skipped} updates in a row were skipped; the batch of the last {kept}.")
        self._told_skipped = self.loop.skipped >= KEEP_BATCH_AFTER
        if skipped >= STOP_AFTER:
            self._save(wait=True)
            raise self._diverged()

    def _diverged(self) -> DivergedError:
        return DivergedError(
            f"Training diverged after {self.updates} updates: loss or gradient are not finite any more. Parameters are "
            "those of the last good update; lower optimizer.learning_rate or look at the environment's rewards."
        )

    def _log(self, last: bool = False) -> None:
        """A row of metrics."""
        if self._folder and (problem := self._folder.problem()):
            self._display.warn(problem)
        values = {
            "env/restarts": float(self._envs.failures),
            "episodes": float(self.episodes.count),
            "replay/records": float(len(self.loop.replay)),
            "replay/bytes": float(self.loop.replay.nbytes),
            **memory.in_use(),
        }
        if (repeat := self.config.env.action_repeat) > 1:
            values["frames"] = float(self.env_steps * repeat)
        self._report.write(self.env_steps, self.updates, values, self.episodes.recent, last=last)

    def _dream(self, *, last: bool = False) -> None:
        """An open-loop prediction, if it is time; none at the end of a run that was interrupted."""
        if self._dreams and not self.interrupted and self._dreams.due(last=last):
            with self._clock.measure("log"):
                self._report.scalars(self.env_steps, self._dreams.dream())

    def _write_page(self) -> None:
        """The run's report.html, of all that was written until now."""
        if self._folder is None:
            return
        self._report.flush()
        try:
            write_report(self._folder.path)
        except Exception as error:  # no page is worth a run
            self._display.warn(f"report.html could not be written ({error}).")

    def _save(self, *, wait: bool = False) -> None:
        """A checkpoint of this moment; never one of parameters that aren't finite."""
        if self._folder is None:
            return
        if not _all_finite(self.loop.state.networks):
            self._display.warn("the parameters are not finite; the newest checkpoint stays as it is.")
            return
        self._report.flush()
        with self._clock.measure("log"):
            progress = self.loop.progress()
            self._folder.save(self.loop.state, self.loop.replay, self.loop.arrays(progress), progress, wait=wait)
        if wait and (problem := self._folder.problem()):
            self._display.warn(problem)


def _for_existing(env: Any, config: Config) -> Config:
    """An environment that exists already is stepped alone, a VectorEnv as it is."""
    if isinstance(env, VectorEnv):
        return replace(config, env=replace(config.env, envs=env.num_envs, mode="auto"))  # how, is its own affair
    return replace(config, env=replace(config.env, envs=1))


def _environments(env: EnvLike, config: Config) -> AnyEnvironments | CompiledEnvironments:
    """As many as the config says: in the compiled program if they are written in JAX, else stepped from Python."""
    settings = config.env
    jax_env = find_jax_env(env) if settings.mode in ("auto", "compiled") else None
    if jax_env is None and settings.mode == "compiled":
        raise InputError(f"env.mode is 'compiled', but {env!r} is not written in JAX; leave the mode at 'auto'.")
    if jax_env is not None:
        if settings.time_limit or settings.action_repeat > 1:
            raise InputError(
                "env.time_limit and env.action_repeat go around environments that are stepped from Python: choose "
                "--env.mode serial, or give the environment its own."
            )
        return CompiledEnvironments(jax_env, settings.envs, keys=settings.keys)
    return open_environments(
        env,
        settings.envs,
        seed=config.seed,
        mode=settings.mode,
        restarts=settings.restarts,
        timeout=settings.timeout,
        keys=settings.keys,
        time_limit=settings.time_limit,
        action_repeat=settings.action_repeat,
    )


def _loop(envs: AnyEnvironments | CompiledEnvironments, config: Config, clock: Clock, logdir: Path | None) -> Loop:
    if isinstance(envs, CompiledEnvironments):
        return CompiledLoop(envs, config, clock, logdir)
    return Loop(envs, config, clock, logdir)


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


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
