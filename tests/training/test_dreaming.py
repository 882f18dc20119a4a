"""Open-loop predictions during training: written, without effect on training, and never fatal."""

import json
import signal
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import reverie
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.storage import Store
from reverie.training import Trainer, train
from reverie.training.metrics import read_metrics

TINY = Config(
    model=ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=8, groups=2, blocks=2),
    behaviour=BehaviourConfig(imagination_length=2),
    replay=ReplayConfig(batch=2, length=6),
    env=EnvConfig(envs=3),
    run=RunConfig(steps=60, train_ratio=1, log_every=0, dream_every=1e-9, tensorboard=False),
)


class Everything(gym.Env):
    """An image, numbers and classes, all of which show the action."""

    observation_space = gym.spaces.Dict(
        {
            "eye": gym.spaces.Box(0, 255, (8, 8, 1), np.uint8),
            "arm": gym.spaces.Box(-np.inf, np.inf, (2, 2), np.float32),
            "mode": gym.spaces.MultiDiscrete([3, 4]),
        }
    )
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, 0
        return self._observe(), {}

    def step(self, action):
        self.time, self.place = self.time + 1, self.place + action - 1
        return self._observe(), float(action), False, self.time == 9, {}

    def _observe(self):
        eye = np.zeros((8, 8, 1), np.uint8)
        eye[:, self.place % 8] = 255
        arm = np.full((2, 2), self.place, np.float32)
        return {"eye": eye, "arm": arm, "mode": np.array([self.place % 3, self.time % 4])}


def checkpoint(folder) -> dict[str, str]:
    """Checksums of the newest checkpoint: parameters, optimizer, replay and its generator."""
    store = Store(folder / "checkpoints")
    newest = store.load(store.counts[0])
    store.close()
    meta = newest.meta["progress"], newest.meta["replay"]
    return {name: file.digest for name, file in newest.files.items()} | {"meta": json.dumps(meta)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dreaming") / "run"
    train(Everything, TINY, logdir=folder, quiet=True)
    return folder


def test_dreams_change_nothing_that_is_learned(run, tmp_path):
    never = replace(TINY, run=replace(TINY.run, dream_every=0))
    train(Everything, never, logdir=tmp_path / "never", quiet=True)
    assert not (tmp_path / "never" / "dreams").exists()
    assert checkpoint(run) == checkpoint(tmp_path / "never")
    without = [row for row in read_metrics(run) if not any(name.startswith("open_loop/") for name in row)]
    losses = lambda rows: [row["opt/loss"] for row in rows if "opt/loss" in row]  # noqa: E731
    assert losses(without) == losses(read_metrics(tmp_path / "never"))


def test_errors_are_metrics_and_pictures_stand_in_the_folder(run):
    rows = [row for row in read_metrics(run) if any(name.startswith("open_loop/") for name in row)]
    assert len(rows) > 1
    assert rows[0].keys() <= {"step", "time"} | {
        f"open_loop/{name}/{horizon}" for name in ("eye", "arm", "mode", "rew", "con") for horizon in (1, 2)
    }
    newest = max((run / "dreams").glob("*.json"))
    assert int(newest.stem) == rows[-1]["step"]
    assert newest.with_suffix(".png").exists()
    assert (newest.parent / f"{newest.stem}-eye.mp4").exists()
    assert json.loads(newest.read_text())["error"]["eye"][1] == pytest.approx(rows[-1]["open_loop/eye/1"])
    assert "data:video/mp4" in (run / "report.html").read_text()


@pytest.mark.slow
def test_the_last_dream_is_of_the_end_unless_the_run_was_interrupted(tmp_path):
    rarely = replace(TINY, run=replace(TINY.run, dream_every=1e9))
    trainer = Trainer("CartPole-v1", rarely, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    trainer.close()
    assert [int(path.stem) for path in (tmp_path / "run" / "dreams").glob("*.json")] == [trainer.env_steps]
    trainer = Trainer("CartPole-v1", rarely, steps=90, logdir=tmp_path / "run", quiet=True)

    def interrupt(run) -> bool:
        if run.env_steps > 75:
            signal.raise_signal(signal.SIGINT)
        return False

    with pytest.raises(KeyboardInterrupt):
        trainer.run(interrupt)
    trainer.close()
    assert trainer.interrupted
    assert len(list((tmp_path / "run" / "dreams").glob("*.json"))) == 1
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("what", ["_predict", "_draw"])
def test_a_dream_that_fails_is_told_once_and_ends_nothing(tmp_path, monkeypatch, capsys, what):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(f"reverie.training.dreaming.Dreams.{what}", full)
    monkeypatch.setattr("reverie.training.report.write_report", full)
    agent = train("CartPole-v1", TINY, logdir=tmp_path / "run")
    told = capsys.readouterr().out.replace("\n", " ")
    assert told.count("the open-loop prediction failed (No space left on device)") == 1
    assert "report.html could not be written (No space left on device)" in told
    assert "Done after 6" in told
    assert reverie.Agent.load(tmp_path / "run").spaces == agent.spaces
    logged = [name for row in read_metrics(tmp_path / "run") for name in row if name.startswith("open_loop/")]
    assert bool(logged) == (what == "_draw")


def test_what_to_install_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reverie.dreams.album.find_spec", lambda name: None)
    train("CartPole-v1", TINY, logdir=tmp_path / "run")
    assert capsys.readouterr().out.replace("\n", " ").count("pip install 'reverie[plot]'") == 1
    assert {path.suffix for path in (tmp_path / "run" / "dreams").iterdir()} == {".json"}


def test_a_folder_is_needed_for_dreams():
    trainer = Trainer("CartPole-v1", TINY, quiet=True)
    trainer.run()
    trainer.close()
    assert trainer.updates > 1
