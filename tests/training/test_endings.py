"""However a run ends, it is saved and says truthfully whether it is."""

import errno
import io
import signal
import sys
import threading
from dataclasses import replace

import gymnasium as gym
import jax
import pytest
from rich.console import Console

import reverie
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.storage import read_document
from reverie.training import Callback, NotSavedError, Trainer, train
from reverie.training.display import Display, Status
from reverie.training.folder import RunFolder
from reverie.training.run_file import read_run_file
from reverie.training.signals import RESUME_STATUS, stopping

ENV = "reverie/CatchVector-v0"
TINY = Config(  # the same as in test_trainer.py, whose compiled programs serve here too
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=120, train_ratio=4, log_every=0, dream_every=0, tensorboard=False),
)


class Full(io.TextIOBase):
    """A full disk, or a closed pipe."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def write(self, text):
        raise self.error


FULL = [OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError()]


def steps_on_disk(folder) -> int:
    """Environment steps in the newest checkpoint."""
    newest = max((folder / "checkpoints").glob("[0-9]*.json"))
    return read_document(newest)["meta"]["progress"]["env_steps"].integer()


def test_a_display_that_can_not_write_is_silent_from_then_on(capsys):
    display = Display(10)
    display.console = Console(file=Full(FULL[0]))
    display.note("one")
    display.warn("two")
    display.update(Status(1, {"updates": 1.0}, [], 0.0, ""))
    display.close()
    assert capsys.readouterr().err.count("nothing more is displayed") == 1


@pytest.mark.parametrize("error", FULL)
def test_a_full_or_closed_stdout_does_not_end_a_run(error, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full(error))
    train(ENV, TINY, steps=40, logdir=tmp_path / "run")
    assert steps_on_disk(tmp_path / "run") >= 40


class Fails(Callback):
    def on_update(self, run, output):
        if run.updates >= 3:
            raise ZeroDivisionError("in a callback")


def test_an_error_in_a_callback_saves_the_run(tmp_path):
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    with pytest.raises(ZeroDivisionError):
        trainer.run(callbacks=[Fails()])
    trainer.close()
    assert steps_on_disk(tmp_path / "run") == trainer.env_steps > 0
    written = read_run_file(tmp_path / "run")
    assert (written["status"], written["saved"]) == ("failed", True)
    assert written["reason"] == "ZeroDivisionError: in a callback"


def test_an_error_in_the_update_leaves_the_last_checkpoint_and_is_the_one_that_is_raised(tmp_path):
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)

    def broken(leaves, batch, key):
        jax.tree.map(lambda x: x.delete(), leaves)  # they were donated
        raise RuntimeError("out of memory")

    def breaking(run) -> bool:
        if run.updates >= 3:
            run.loop._update = broken
        return False

    with pytest.raises(RuntimeError, match="out of memory") as error:
        trainer.run(breaking)
    trainer.close()
    assert "The run could not be saved: RuntimeError" in "".join(error.value.__notes__)
    assert read_run_file(tmp_path / "run")["saved"] is False


def test_a_run_whose_end_is_not_saved_says_so(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "save", full)
    with pytest.raises(NotSavedError, match="NOT saved: OSError: .*No space left.*There is no checkpoint") as error:
        train(ENV, TINY, steps=40, logdir=tmp_path / "run", quiet=True)
    error.value.agent.save(tmp_path / "agent")
    assert reverie.Agent.load(tmp_path / "agent").config.run.steps == 40
    written = read_run_file(tmp_path / "run")
    assert (written["status"], written["saved"]) == ("finished", False)


class Signals(Callback):
    """Sends signals to this process after some updates."""

    def __init__(self, *signals: signal.Signals):
        self.signals = signals

    def on_update(self, run, output):
        if run.updates == 3:
            for number in self.signals:
                signal.raise_signal(number)


def test_ctrl_c_is_raised_after_the_run_is_saved(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(ENV, TINY, logdir=tmp_path / "run", quiet=True, callbacks=[Signals(signal.SIGINT)])
    written = read_run_file(tmp_path / "run")
    assert (written["status"], written["reason"], written["saved"]) == ("interrupted", "Ctrl-C", True)
    assert steps_on_disk(tmp_path / "run") == written["env_steps"] < TINY.run.steps


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")
def test_a_schedulers_signals_save_and_exit_with_the_status_that_means_resume(tmp_path, capsys):
    for signals in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGUSR1,)):  # schedulers repeat themselves
        with pytest.raises(SystemExit) as exit:
            train(ENV, TINY, logdir=tmp_path / signals[0].name, callbacks=[Signals(*signals)])
        assert exit.value.code == RESUME_STATUS
        assert read_run_file(tmp_path / signals[0].name)["reason"] == signals[0].name
        told = capsys.readouterr().out.replace("\n", " ")
        assert f"Stopping ({signals[0].name})" in told
        assert "Repeat the command to resume it." in told


def test_ignored_signals_stay_ignored_and_a_second_ctrl_c_interrupts():
    before, stops = signal.signal(signal.SIGTERM, signal.SIG_IGN), []
    try:
        with stopping(stops.append):
            signal.raise_signal(signal.SIGTERM)
            assert not stops
            signal.raise_signal(signal.SIGINT)
            assert stops == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_ends_a_step_with_any_number_of_updates(tmp_path):
    class Overdue(Callback):
        sent = False  # one signal: a second would come after the run

        def on_step(self, run):
            if run.updates >= 3 and not self.sent:
                self.sent = True
                run.loop._credit = 1e12
                threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()

    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(callbacks=[Overdue()])
    trainer.close()
    assert trainer._folder.newest == trainer.env_steps + trainer.updates


def test_run_json_counts_the_processes_that_have_trained_here(tmp_path):
    for steps in (20, 40):
        train(ENV, TINY, steps=steps, logdir=tmp_path / "run", quiet=True)
    written = read_run_file(tmp_path / "run")
    assert written["first_started"] < written["started"] < written["ended"]
    assert (written["status"], written["processes"], written["steps"]) == ("finished", 2, 40)
    assert written["env_steps"] >= 40
    assert written["versions"]["jax"] == jax.__version__
    assert written["machine"]["backend"] == jax.default_backend()


def test_a_run_too_short_to_learn_says_so_before_and_after(capsys):
    train(ENV, TINY, steps=6)
    printed = " ".join(capsys.readouterr().out.split())
    before, after = printed.split("step 6 of 6")[0], printed.rpartition("step 6 of 6")[2]
    assert "Warning: nothing will be learned: updates begin after about 18 steps" in before
    assert "the run ended before its first update: nothing was learned" in after


def test_an_environment_that_fails_before_the_first_step_leaves_no_checkpoint(tmp_path):
    class Broken(gym.Env):
        observation_space, action_space = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            raise ConnectionError("the simulator is gone")

    with pytest.raises(ConnectionError):
        train(Broken(), TINY, logdir=tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run" / "checkpoints").glob("*.json"))


def test_all_seeds_share_one_program():
    """The seed is no constant of the update, so that the compile cache serves all of them."""
    texts = []
    for seed in (0, 1):
        trainer = Trainer(ENV, replace(TINY, seed=seed), steps=30, quiet=True)
        trainer.run()
        trainer.close()
        loop = trainer.loop
        texts.append(loop._update.lower(loop._leaves, loop._batch, loop._keys.update).as_text())
    assert texts[0] == texts[1]


def test_a_run_may_start_from_trained_parameters():
    trained = train(ENV, TINY, steps=40, quiet=True)
    trainer = Trainer(ENV, TINY, seed=3, quiet=True)
    before = jax.tree.leaves(trainer.agent.networks.actor)
    trainer.start_from(trained, "world_model")
    for ours, theirs in zip(*(jax.tree.leaves(a.world_model) for a in (trainer.agent, trained)), strict=True):
        assert (ours == theirs).all()
    assert all((x == y).all() for x, y in zip(before, jax.tree.leaves(trainer.agent.networks.actor), strict=True))
    trainer.run(until=lambda run: run.updates >= 2)
    trainer.close()
    assert trainer.updates >= 2
