"""A run from start to end: opened or resumed, displayed, saved at intervals, and ended in order.

`loop` has the algorithm. May import: everything below `training`, and all of it.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from signal import SIGINT, Signals

from reverie.agent import Agent
from reverie.agent.transfer import Piece
from reverie.compiling import use_cache
from reverie.config import Config
from reverie.datasets import open_dataset
from reverie.envs.make import EnvLike
from reverie.text import counted
from reverie.training import memory
from reverie.training.callbacks import Callbacks, Until
from reverie.training.clock import Clock
from reverie.training.description import cautions, describe
from reverie.training.display import Display
from reverie.training.divergence import DivergedError, Divergence, has_diverged
from reverie.training.dreaming import Dreams
from reverie.training.episodes import Episodes
from reverie.training.folder import RunFolder
from reverie.training.metrics import MetricsWriter, open_writer
from reverie.training.offline import fill
from reverie.training.opening import (
    Resume,
    check_request,
    complete_config,
    env_name,
    make_environments,
    make_loop,
    take_parameters,
)
from reverie.training.periodic import PeriodicEvaluation
from reverie.training.records import prefill
from reverie.training.report import Report
from reverie.training.run_file import RunFile, Status
from reverie.training.saving import NotSavedError, Saver
from reverie.training.signals import end_process, readable, stopping


class Trainer:
    """An open run; the arguments are those of `train`.

    Attributes:
        config: all settings.
        loop: environments, replay and learner.
    """

    def __init__(
        self,
        env: EnvLike,
        config: Config | None = None,
        *,
        steps: int | None = None,
        seed: int | None = None,
        logdir: str | Path | None = None,
        resume: Resume = "auto",
        quiet: bool = False,
    ) -> None:
        use_cache()
        self.config = complete_config(env, config, steps, seed)
        self._signal: Signals | None = None
        self._stopped: str | None = None  # why a callback has stopped the run
        self._clock = Clock()
        folder = Path(logdir) if logdir else None
        check_request(self.config, folder, resume)
        self._display = Display(self.config.run.steps, quiet=quiet)
        with ExitStack() as opened:  # closed at once if one of the next steps fails
            opened.callback(self._display.close)
            self._evaluation = PeriodicEvaluation(env, self.config, self._display.warn)
            opened.callback(self._evaluation.close)
            self._envs = make_environments(env, self.config)
            opened.callback(self._envs.close)
            self._open(env_name(env), folder, opened)
            self._opened = opened.pop_all()

    def _open(self, name: str | None, logdir: Path | None, opened: ExitStack) -> None:
        """Make the loop, fresh or as the newest checkpoint has it, and everything that reports on it."""
        run, warn = self.config.run, self._display.warn
        self.loop = make_loop(self._envs, self.config, self._clock, logdir)
        self._envs.tell = warn
        self._display.note(describe(self.agent, name or "an environment", self.loop.replay))
        memory.check_replay(self.loop.replay, self.config, logdir)
        for caution in cautions(self.agent):
            warn(caution)
        resumed = False
        # From here on there is something on disk.
        self._folder = RunFolder(logdir, self.agent, name, run.keep, warn) if logdir else None
        self._dreams: Dreams | None = None
        self._run_file: RunFile | None = None
        writer: MetricsWriter | None = None
        if self._folder:
            opened.callback(self._folder.close)
            if changes := self._folder.changes:
                listed = (f"{setting}: {old} → {new}" for setting, (old, new) in changes.items())
                self._display.note(f"Changed settings: {'; '.join(listed)}.")
            if restored := self._folder.restore(self.loop.state, self.loop.replay, warn):
                self.loop.restore(*restored)
                resumed = True
                self._display.note(
                    f"Resuming at {counted(self.env_steps, 'step')}, {counted(self.updates, 'update')} and "
                    f"{counted(len(self.loop.replay), 'record')}."
                )
            writer = open_writer(self._folder.path, self.config, self.env_steps, warn)
            opened.callback(writer.close)
            self._dreams = Dreams(self._folder.path / "dreams", self.loop, run.dream_every, warn)
            self._run_file = RunFile(self._folder.path, warn)
        if self.config.replay.dataset and not resumed:
            count = fill(self.loop.replay, open_dataset(self.config.replay.dataset), self.agent.spaces, self.config)
            self._display.note(f"Read {counted(count, 'episode')}, {counted(len(self.loop.replay), 'record')}.")
        self._report = Report(
            self._display, writer, self._clock, run.steps, self.env_steps, self.updates, self.config.env.info
        )
        self._saver = Saver(self._folder, self.loop, self._report, run.checkpoint_every, warn)
        self._divergence = Divergence(self._folder.keep_batch if self._folder else None, warn)

    @property
    def agent(self) -> Agent:
        """The agent, with the newest parameters."""
        return self.loop.agent

    @property
    def env_steps(self) -> int:
        """Environment steps (decisions) so far, over all environments."""
        return self.loop.env_steps

    @property
    def updates(self) -> int:
        """Gradient steps so far."""
        return self.loop.updates

    @property
    def episodes(self) -> Episodes:
        """Statistics of the episodes so far."""
        return self.loop.episodes

    @property
    def interrupted(self) -> bool:
        """Whether a signal has ended the run."""
        return self._signal is not None

    def start_from(self, source: Agent, only: Piece | None = None) -> None:
        """Replace the fresh parameters of a new run by those of another agent that fit; see `train`."""
        if not self.env_steps:
            self._display.note(take_parameters(self.loop, source, only))

    def record(self, name: str, value: float) -> None:
        """Add a metric to the next row, as the mean of all values recorded under this name since the last row."""
        self._report.record(name, float(value))

    def stop(self, reason: str = "") -> None:
        """End the run after this step; it is saved as usual, and counts as finished."""
        self._stopped = reason or "stopped by a callback"

    def run(self, until: Callable[["Trainer"], bool] | None = None, *, callbacks: Sequence[object] = ()) -> Agent:
        """Train up to `config.run.steps`; save at intervals, at the end, when interrupted and when failing."""
        told = Callbacks([*callbacks, Until(until)] if until is not None else callbacks)
        if self.env_steps >= self.config.run.steps:
            self._display.note(
                f"This run already has {self.env_steps:,} of {self.config.run.steps:,} steps; "
                "raise the number of steps to continue it."
            )
            return self.agent
        with stopping(self._interrupt):
            try:
                if self._run_file:
                    self._run_file.start(self.env_steps, self.updates, self.config.run.steps)
                self._run(told)
            except Exception as error:
                self._fail(error)
                raise
            finally:
                self._display.close()
            self._finish()
        if self._signal is not None:
            end_process(self._signal)
        return self.agent

    def close(self) -> None:
        """Close the environments and wait until files are written."""
        self._opened.close()

    def _interrupt(self, signal: Signals) -> None:
        self._signal = signal
        self.loop.cancel()
        self._envs.cancel()
        self._evaluation.cancel()
        again = " Press Ctrl-C again to stop without saving." if signal == SIGINT else ""
        self._display.note(f"Stopping ({readable(signal)}): saving the run.{again}")

    def _run(self, told: Callbacks) -> None:
        self._display.start()
        self._clock.shares()  # opening the run is no part of the first row
        self.loop.begin()
        while self.env_steps < self.config.run.steps and not self._stopped and not self.interrupted:
            before = self.env_steps
            # Interact and learn: one step of the loop (section 5).
            if not self._step(told):
                break
            # Evaluate on episodes that training never sees.
            if self._evaluation.due(before, self.env_steps):
                self._evaluate()
            # Report: a row of metrics, and what the world model predicts without seeing.
            if self._clock.elapsed >= self.config.run.log_every:
                self._log(told)
            self._dream()
            # Save: parameters, optimizer, replay and where the environments stand.
            if self._saver.due():
                self._saver.save()
        told.call("on_end", self)
        # Updates that the last step earned stay due, so that a resumed run does them in an uninterrupted one's order.
        self._log(told, last=True)

    def _step(self, told: Callbacks) -> bool:
        """Advance the loop and tell what it did; False if waiting for a failed environment was interrupted."""
        try:
            progress = self.loop.step()
        except Exception as error:
            if has_diverged(self.loop.state.networks):
                raise DivergedError(self.updates) from error  # which is why actions were refused
            if self.interrupted:
                return False
            raise
        for output in progress.updates:
            self._report.update(output)
            told.call("on_update", self, output)
        for episode in progress.episodes:
            self._report.episode(self.env_steps, episode)
            told.call("on_episode", self, episode)
        told.call("on_step", self)
        if self._divergence.watch(progress.skipped, self.loop.skipped, self.loop.skipped_batch):
            raise DivergedError(self.updates)
        return True

    def _evaluate(self) -> None:
        with self._clock.measure("eval"):
            result = self._evaluation.play(self.agent, self.episodes.longest)
        if result is not None:
            self._report.evaluation(self.env_steps, result)
            self._saver.mark_best(result.mean)

    def _log(self, told: Callbacks, last: bool = False) -> None:
        """Write and display a row of metrics."""
        self._saver.check()
        if last and not self._report.due(self.env_steps, self.updates):
            return
        values = {
            "env/restarts": float(self._envs.failures),
            "episodes": float(self.episodes.count),
            "replay/records": float(len(self.loop.replay)),
            "replay/bytes": float(self.loop.replay.nbytes),
            **memory.in_use(),
        }
        if (repeat := self.config.env.action_repeat) > 1:
            values["frames"] = float(self.env_steps * repeat)
        row = self._report.row(self.env_steps, self.updates, values, last=last)
        told.call("on_log", self, row)
        self._report.write(self.env_steps, row, self.episodes, missing=self._missing())

    def _missing(self) -> int | None:
        """Records that replay still lacks before updates begin; None if there are no updates."""
        if not self.config.run.train_ratio:
            return None
        if self.updates or self.config.env.mode == "offline":
            return 0
        return max(0, prefill(self.config) - len(self.loop.replay))

    def _dream(self, *, last: bool = False) -> None:
        """Make an open-loop prediction, if it is time; none at the end of an interrupted run."""
        if self._dreams and not self.interrupted and self._dreams.due(last=last):
            with self._clock.measure("log"):
                self._report.scalars(self.env_steps, self._dreams.dream())

    def _fail(self, error: Exception) -> None:
        """Save the run and write down how it ended, before the error is raised."""
        if problem := self._saver.save_now():
            error.add_note(f"The run could not be saved: {problem} {self._saver.fallback()}")
        self._end("failed", f"{type(error).__name__}: {error}", saved=not problem)

    def _finish(self) -> None:
        """Save the run, and say truthfully how it ended."""
        problem = self._saver.save_now()
        self._dream(last=True)
        if self._folder:
            self._report.page(self._folder.path)
        if self._signal is not None:
            self._end("interrupted", readable(self._signal), saved=not problem)
        else:
            self._end("finished", self._stopped, saved=not problem)
        how = f"{'Interrupted' if self.interrupted else 'Done'} after {counted(self.env_steps, 'step')}"
        if problem:
            message = f"{how}, but the newest state is NOT saved: {problem} {self._saver.fallback()}"
            raise NotSavedError(message, self.agent)
        if not self.updates and self.config.run.train_ratio:
            self._display.warn("the run ended before its first update: nothing was learned.")
        if self._folder:
            again = " Repeat the command to resume it." if self.interrupted else ""
            self._display.note(f"{how}; the run is saved in '{self._folder.path}', see report.html there.{again}")

    def _end(self, status: Status, reason: str | None, *, saved: bool) -> None:
        if self._run_file:
            self._run_file.end(status, reason, self.env_steps, self.updates, saved=saved)
