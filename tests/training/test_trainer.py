"""Training: what a run does, writes, repeats and resumes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import jax
import numpy as np
import pytest

import reverie
from reverie.agent import list_checkpoints
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.storage import Store, read_arrays
from reverie.training import DivergedError, Trainer, copy_run, train
from reverie.training.clock import Clock
from reverie.training.metrics import JsonLines, read_metrics

ENV = "reverie/CatchVector-v0"
TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=120, train_ratio=4, log_every=0, dream_every=0, tensorboard=False),
)


def losses(folder) -> list[float]:
    return [row["opt/loss"] for row in read_metrics(folder) if "opt/loss" in row]


def held(trainer) -> dict[str, np.ndarray]:
    """All records of a replay buffer with a single segment, leaves (N, time, ...)."""
    (records, latents) = sorted(name for name in trainer.loop.replay.parts())[::-1]
    assert (records, latents) == ("records.000000", "latents.000000")
    return {name: x for part in (records, latents) for name, x in trainer.loop.replay.parts()[part][1]().items()}


def parameters(agent) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(agent.networks)]


def test_a_run_updates_as_often_as_the_train_ratio_says(tmp_path):
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    trainer.close()
    batch = TINY.replay.batch * TINY.replay.length
    # Updates begin with the first full batch, give or take one step of the environments.
    assert trainer.env_steps >= TINY.run.steps
    assert trainer.updates == pytest.approx((TINY.run.steps - batch) * TINY.run.train_ratio / batch, abs=1.5)


def test_the_same_seed_gives_the_same_losses_and_parameters(tmp_path):
    first = train(ENV, TINY, logdir=tmp_path / "a", quiet=True)
    second = train(ENV, TINY, logdir=tmp_path / "b", quiet=True)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert len(losses(tmp_path / "a")) > 10
    for ours, theirs in zip(parameters(first), parameters(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = train(ENV, replace(TINY, seed=1), logdir=tmp_path / "c", quiet=True)
    assert any(np.any(x != y) for x, y in zip(parameters(first), parameters(other), strict=True))


def test_saving_does_not_change_what_is_learned(tmp_path):
    often = replace(TINY, run=replace(TINY.run, checkpoint_every=0))
    first = train(ENV, TINY, quiet=True)
    second = train(ENV, often, logdir=tmp_path / "run", quiet=True)
    for ours, theirs in zip(parameters(first), parameters(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_same_command_continues_a_run(tmp_path, capsys):
    train(ENV, TINY, steps=80, logdir=tmp_path / "run")
    trainer = Trainer(ENV, TINY, steps=160, logdir=tmp_path / "run")
    assert trainer.env_steps >= 80
    updates, before = trainer.updates, parameters(trainer.agent)
    trainer.run()
    trainer.close()
    assert "Resuming at" in capsys.readouterr().out
    assert trainer.updates > updates
    assert any(np.any(x != y) for x, y in zip(before, parameters(trainer.agent), strict=True))
    steps = [row["step"] for row in read_metrics(tmp_path / "run")]
    assert steps == sorted(steps)
    again = Trainer(ENV, TINY, steps=160, logdir=tmp_path / "run")
    again.run()
    again.close()
    assert again.updates == trainer.updates
    assert "already has" in capsys.readouterr().out


def test_restored_state_equals_the_saved_one(tmp_path):
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    trainer.close()
    restored = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    restored.close()
    for ours, theirs in zip(jax.tree.leaves(restored.loop.state), jax.tree.leaves(trainer.loop.state), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ours, theirs = restored.loop.replay.sample(2), trainer.loop.replay.sample(2)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(y, np.float64))
    assert restored.loop._credit == trainer.loop._credit
    for x, y in zip(jax.tree.leaves(restored.loop._pending), jax.tree.leaves(trainer.loop._pending), strict=True):
        np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(y, np.float64))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": replace(TINY.model, units=24)}, "model.units: 16 → 24"),
        ({"seed": 5}, "seed: 0 → 5"),
    ],
)
def test_a_run_of_other_settings_is_refused_and_left_as_it_is(tmp_path, change, named):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=named):
        train(ENV, replace(TINY, **change), logdir=tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match="env: reverie/CatchVector-v0 → CartPole-v1"):
        train("CartPole-v1", TINY, logdir=tmp_path / "run", quiet=True)
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds no run"):
        train(ENV, TINY, logdir=tmp_path, quiet=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_every_episode_is_written_once_with_its_return_and_length(tmp_path):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    rows = [row for row in read_metrics(tmp_path / "run") if "episode/return" in row]
    assert len(rows) == pytest.approx(TINY.run.steps / 7, abs=2)  # the ball falls for seven steps
    assert {row["episode/return"] for row in rows} <= {-1.0, 1.0}
    assert {row["episode/length"] for row in rows} == {7.0}


def test_shares_of_time_do_not_exceed_the_whole(tmp_path):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    for row in read_metrics(tmp_path / "run"):
        if "time/env" in row:
            assert 0 < sum(row[f"time/{part}"] for part in ("env", "act", "data", "learn", "log")) <= 1.01


def test_the_latency_of_acting_is_its_time_over_its_times(tmp_path):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    rows = [row for row in read_metrics(tmp_path / "run") if row.get("rate/env_steps")]
    assert len(rows) > 20
    # One per step of the loop; there may be a pause between the measurements of a row.
    seconds = np.array([TINY.env.envs / row["rate/env_steps"] for row in rows])
    spent, latency = (np.array([row[name] for row in rows]) for name in ("time/act", "latency/act_ms"))
    assert np.median(latency / (1e3 * spent * seconds)) == pytest.approx(1, rel=0.05)


def test_a_clock_counts_a_block_that_is_continued_once():
    clock = Clock()
    for _ in range(2):
        with clock.measure("act"):
            time.sleep(0.01)
        with clock.measure("env"):
            time.sleep(0.02)
        with clock.measure("act", again=True):
            time.sleep(0.01)
    assert 20 <= clock.milliseconds("act") <= 1e3 * clock.elapsed / 2 - 20
    clock.shares()
    assert clock.milliseconds("act") == 0


class Recorder(gym.Env):
    """Counts up; ends after `length` steps, terminated or truncated."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-2.0, 2.0, (2,), np.float32)

    def __init__(self, length: int = 5, terminate: bool = True):
        self.length, self.terminate, self.actions = length, terminate, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.count += 1
        self.actions.append(action)
        done = self.count == self.length
        return np.array([self.count], np.float32), float(self.count), done and self.terminate, done, {}


@pytest.mark.parametrize("terminate", [True, False])
def test_what_is_recorded_is_what_happened(terminate):
    env = Recorder(terminate=terminate)
    trainer = Trainer(env, TINY, steps=40, quiet=True)
    trainer.run()
    stream = held(trainer)
    trainer.close()
    counts = stream["observation.vector"][0, :, 0]
    np.testing.assert_array_equal(counts, np.arange(len(counts)) % 6)  # no step lost or doubled
    np.testing.assert_array_equal(stream["reward"][0], counts)
    np.testing.assert_array_equal(stream["is_first"][0], counts == 0)
    np.testing.assert_array_equal(stream["is_last"][0], counts == 5)
    np.testing.assert_array_equal(stream["is_terminal"][0], (counts == 5) & terminate)
    action = stream["action.action"][0]
    assert np.all(action[counts == 5] == 0)
    executed = action[counts != 5]
    # The bounds are ±2 and the policy is in ±1, so the environment got twice the stored action, clipped.
    np.testing.assert_allclose(np.clip(2 * executed, -2, 2), env.actions[: len(executed)], rtol=1e-6)


def test_updates_write_their_latents_back():
    trainer = Trainer(ENV, TINY, steps=40, quiet=True)
    trainer.run()
    rows, latents, _ = trainer.loop._pending

    def stored() -> list[np.ndarray]:
        records = held(trainer)
        slots = zip(rows.stream, rows.first + 1, strict=True)
        return [records["deter"][stream, start : start + TINY.replay.length] for stream, start in slots]

    before = stored()
    trainer.loop._write_back()
    # Where sequences overlap the later one wins, so the last one is complete.
    np.testing.assert_array_equal(stored()[-1], np.asarray(latents.deter)[-1])
    assert np.any(before[-1] != stored()[-1])
    trainer.close()


class NanRewards(Recorder):
    def step(self, action):
        observation, _, terminated, truncated, info = super().step(action)
        return observation, float("nan"), terminated, truncated, info


def test_a_nan_from_an_environment_is_named():
    with pytest.raises(ValueError, match="environment 0 returned the reward nan"):
        train(NanRewards(), TINY, quiet=True)


def poison(trainer, *, stream: slice, time: slice) -> None:
    """Put rewards into replay that no environment could have returned."""
    trainer.loop.replay._streams._segments[0].reward[stream, time] = np.nan


def test_updates_that_are_not_finite_are_skipped_and_counted(tmp_path):
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)

    def watch(run) -> bool:
        if run.updates == 3:
            poison(run, stream=slice(0, 1), time=slice(4, 5))
        return False

    trainer.run(watch)
    trainer.close()
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(trainer.loop.state))
    assert all(np.all(np.isfinite(x.astype(np.float32))) for x in (held(trainer)["deter"],))
    rows = [row for row in read_metrics(tmp_path / "run") if "opt/skipped" in row]
    skipped = sum(row["opt/skipped"] for row in rows)
    assert 0 < skipped < trainer.updates - 3
    assert None not in {row.get("opt/loss", 0) for row in rows}  # means are over the applied updates


def test_a_diverged_run_keeps_its_batch_and_its_last_good_parameters(tmp_path, capsys):
    trainer, cured = Trainer(ENV, TINY, steps=1000, logdir=tmp_path / "run"), list[bool]()

    def watch(run) -> bool:
        poison(run, stream=slice(None), time=slice(20, None))
        if run.loop.skipped == 4 and not cured:  # the newest batch is good when the fifth is found skipped
            cured.append(True)
            trainer.loop.replay._streams._segments[0].reward[:] = 0
        return False

    with pytest.raises(DivergedError, match="Training diverged after .* updates"):
        trainer.run(watch)
    trainer.close()
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(trainer.loop.state))
    trainer.agent.save(tmp_path / "agent")  # it has not been donated
    assert all(np.all(np.isfinite(x)) for x in parameters(reverie.Agent.load(tmp_path / "run")))
    assert "5 updates in a row were skipped; the newest batch" in capsys.readouterr().out.replace("\n", " ")
    batch = read_arrays(tmp_path / "run" / "skipped_batch.safetensors")
    assert np.isnan(batch[".reward"]).any()


def test_a_checkpoint_never_holds_parameters_that_are_not_finite(tmp_path):
    trainer = Trainer("Pendulum-v1", TINY, steps=60, logdir=tmp_path / "run")
    trainer.run()
    newest = trainer._folder.newest
    trainer.loop.state = jax.tree.map(lambda x: x * np.nan if x.dtype == np.float32 else x, trainer.loop.state)
    trainer.loop.env_steps += 1
    problem = trainer._saver.save_now()
    trainer.close()
    assert trainer._folder.newest == newest
    assert "the parameters are not finite" in problem


def test_ctrl_c_saves_and_says_how_to_continue(tmp_path, capsys):
    config = replace(TINY, run=replace(TINY.run, steps=1_000_000))
    trainer = Trainer(ENV, config, logdir=tmp_path / "run")

    def interrupt() -> None:
        while trainer.updates < 3:
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        trainer.run(until=lambda run: run.updates > 500)  # so that a failure ends
    trainer.close()
    assert trainer.interrupted
    assert "Repeat the command to resume it" in capsys.readouterr().out.replace("\n", " ")
    assert trainer._folder.newest == trainer.env_steps + trainer.updates


def test_tensorboard_gets_the_same_numbers(tmp_path):
    config = replace(TINY, run=replace(TINY.run, tensorboard=True))
    train(ENV, config, logdir=tmp_path / "run", quiet=True)
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_metrics_are_valid_json(tmp_path):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        assert "step" in json.loads(line)


class Fails(Recorder):
    """An environment that loses its connection after some steps."""

    def step(self, action):
        if len(self.actions) == 60:
            raise ConnectionError("the simulator is gone")
        return super().step(action)


def test_a_failing_environment_does_not_take_the_run_with_it(tmp_path):
    with pytest.raises(ConnectionError, match="the simulator is gone"):
        train(Fails(), TINY, logdir=tmp_path / "run", quiet=True)
    trainer = Trainer(Recorder(), TINY, logdir=tmp_path / "run", quiet=True)
    trainer.close()
    assert trainer.env_steps == 60


def test_experience_without_updates_is_saved_too(tmp_path):
    config = replace(TINY, run=replace(TINY.run, train_ratio=0, checkpoint_every=0))
    train(ENV, config, steps=40, logdir=tmp_path / "run", quiet=True)
    trainer = Trainer(ENV, config, steps=40, logdir=tmp_path / "run", quiet=True)
    trainer.close()
    assert trainer.env_steps >= 40


def test_a_second_process_is_told_who_is_there(tmp_path):
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match=rf"Another process \(pid {os.getpid()}\) trains in"):
        Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.close()
    Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True).close()


def test_rows_after_the_checkpoint_are_dropped_and_damaged_lines_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "a": 1}\n{"step": 2, "a"\n{"step": 3, "a": 3}\n{"step": 9, "a": 9}\n{"st')
    writer = JsonLines(tmp_path, resume_step=3)
    writer.write(4, {"a": float("nan")})
    writer.close()
    rows = [{name: row[name] for name in ("step", "a")} for row in read_metrics(tmp_path)]
    assert rows == [{"step": 1, "a": 1}, {"step": 3, "a": 3}, {"step": 4, "a": None}]


class Walk(gym.Env):
    """A random walk that can save its state, so that a run with it resumes as though it had not stopped."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.time = self.np_random.normal(), 0
        return self._observe(), {}

    def step(self, action):
        self.position, self.time = self.position + action - 1 + 0.1 * self.np_random.normal(), self.time + 1
        return self._observe(), -abs(self.position), abs(self.position) > 3, self.time == 9, {}

    def _observe(self):
        return np.array([self.position, self.time], np.float32)

    def get_state(self):
        return {"position": float(self.position), "time": self.time, "random": self.np_random.bit_generator.state}

    def set_state(self, state):
        super().reset(seed=0)
        self.position, self.time = state["position"], state["time"]
        self.np_random.bit_generator.state = state["random"]


def contents(folder) -> dict[str, str]:
    """Checksums of everything in the newest checkpoint."""
    store = Store(folder / "checkpoints")
    checkpoint = store.load(store.counts[0])
    store.close()
    return {name: file.digest for name, file in checkpoint.files.items()} | {"meta": str(checkpoint.meta)}


@pytest.mark.parametrize("cuts", [pytest.param((100,), marks=pytest.mark.slow), (17, 40, 41, 130)])
def test_a_run_in_pieces_equals_one_in_a_piece_bit_for_bit(tmp_path, cuts):
    """Parameters, optimizer, replay with its latents, counters and the states of the environments."""
    train(Walk, TINY, steps=160, logdir=tmp_path / "whole", quiet=True)
    for steps in (*cuts, 160):
        train(Walk, TINY, steps=steps, logdir=tmp_path / "pieces", quiet=True)
    whole, pieces = contents(tmp_path / "whole"), contents(tmp_path / "pieces")
    assert whole == pieces
    assert any(name.startswith("replay.latents") for name in whole)


PIECE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_trainer import TINY, Walk
from reverie.training import train
train(Walk, TINY, steps=int(sys.argv[1]), logdir=Path(sys.argv[2]), quiet=True)
"""


def test_a_copy_at_an_older_checkpoint_continues_as_the_run_did(tmp_path):
    run, copy = tmp_path / "run", tmp_path / "copy"
    for steps in (40, 80, 120):  # the two newest checkpoints are kept
        train(Walk, TINY, steps=steps, logdir=run, quiet=True)
    before = contents(run), (run / "metrics.jsonl").read_bytes()
    older = list_checkpoints(run)[1].env_steps
    assert copy_run(run, copy, checkpoint=older) == copy
    train(Walk, TINY, steps=120, logdir=copy, resume="must", quiet=True)
    assert contents(copy) == contents(run)
    assert losses(copy) == losses(run)
    assert (contents(run), (run / "metrics.jsonl").read_bytes()) == before
    with pytest.raises(ValueError, match=rf"no checkpoint of 40 environment steps; it has .* {older} env"):
        copy_run(run, tmp_path / "other", checkpoint=40)
    with pytest.raises(ValueError, match="copy' is not empty; choose a new folder"):
        copy_run(run, copy)


def test_a_run_continued_by_other_processes_equals_one_in_a_piece_bit_for_bit(tmp_path):
    train(Walk, TINY, steps=160, logdir=tmp_path / "whole", quiet=True)
    script = PIECE.format(tests=str(Path(__file__).parent))
    for steps in (90, 160):
        piece = subprocess.run(
            [sys.executable, "-c", script, str(steps), str(tmp_path / "pieces")], capture_output=True, text=True
        )
        assert piece.returncode == 0, piece.stderr
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces")


def arrays(folder) -> dict[str, str]:
    return {name: checksum for name, checksum in contents(folder).items() if name != "meta"}


@pytest.mark.slow
def test_where_replay_is_kept_does_not_change_what_is_learned(tmp_path):
    """Also if it moves between two parts of a run, and in a ring that is too small for the run."""
    small = replace(TINY, replay=replace(TINY.replay, capacity=80))
    train(Walk, small, steps=130, logdir=tmp_path / "memory", quiet=True)
    for home in ("disk", "device"):
        config = replace(small, replay=replace(small.replay, home=home))
        train(Walk, config, steps=130, logdir=tmp_path / home, quiet=True)
        assert arrays(tmp_path / home) == arrays(tmp_path / "memory")
    for steps, home in ((50, "device"), (90, "memory"), (130, "disk")):
        config = replace(small, replay=replace(small.replay, home=home))
        train(Walk, config, steps=steps, logdir=tmp_path / "moving", quiet=True)
    assert arrays(tmp_path / "moving") == arrays(tmp_path / "memory")


def test_replay_on_disk_without_a_folder_is_refused():
    with pytest.raises(ValueError, match="replay.home is 'disk', but there is no logdir"):
        train(ENV, replace(TINY, replay=replace(TINY.replay, home="disk")), quiet=True)


def test_environments_that_cannot_say_where_they_stand_begin_other_episodes(tmp_path):
    train("CartPole-v1", TINY, steps=40, logdir=tmp_path / "run", quiet=True)
    trainer = Trainer("CartPole-v1", TINY, steps=80, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    stream = held(trainer)
    trainer.close()
    firsts = stream["observation.vector"][stream["is_first"]]
    assert len(np.unique(firsts, axis=0)) == len(firsts) > 2
    # Interrupted episodes end in the records.
    np.testing.assert_array_equal(stream["is_first"][:, 1:], stream["is_last"][:, :-1])


def test_the_last_step_before_a_resume_is_not_lost(tmp_path):
    """Each episode of Catch gives its reward in the last step, which is recorded by the step after it."""
    acting = replace(TINY, run=replace(TINY.run, train_ratio=0))
    for steps in (10, 24, 34):  # two environments, seven steps each: the second part of the run ends with an episode
        trainer = Trainer(ENV, acting, steps=steps, logdir=tmp_path / "run", quiet=True)
        trainer.run()
        trainer.close()
    ended = trainer.loop._now.step.is_last
    ends = held(trainer)["is_terminal"]
    assert int(ends.sum() + ended.sum()) == trainer.episodes.count > 0
    assert int((~held(trainer)["is_last"]).sum()) == trainer.env_steps


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, capsys):
    train(ENV, TINY, steps=80, logdir=tmp_path / "run", quiet=True)
    train(ENV, TINY, steps=100, logdir=tmp_path / "run", quiet=True)
    checkpoints = tmp_path / "run" / "checkpoints"
    newest, before = sorted(checkpoints.glob("*.json"), reverse=True)
    damaged = checkpoints / "arrays" / f"learner-{newest.stem}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    trainer = Trainer(ENV, TINY, steps=120, logdir=tmp_path / "run")
    told = capsys.readouterr().out.replace("\n", " ")
    assert f"learner-{newest.stem}.safetensors' is" in told
    assert "Continuing from the checkpoint before it" in told
    assert trainer.env_steps + trainer.updates == int(before.stem)
    trainer.run()
    trainer.close()
    assert reverie.Agent.load(tmp_path / "run").spaces == trainer.agent.spaces
    for file in checkpoints.glob("*.json"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="No checkpoint of .* can be read; .* is not JSON"):
        Trainer(ENV, TINY, logdir=tmp_path / "run")
    assert "Continuing" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="No checkpoint of .* can be read"):
        reverie.Agent.load(tmp_path / "run")


def test_resume_must_and_never(tmp_path):
    with pytest.raises(ValueError, match="There is no run to resume in"):
        Trainer(ENV, TINY, logdir=tmp_path / "run", resume="must", quiet=True)
    small = replace(TINY, replay=replace(TINY.replay, memory="1kB"))
    with pytest.raises(ValueError, match="but replay.memory is 1 kB"):
        Trainer(ENV, small, logdir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()  # a refused run leaves nothing behind
    train(ENV, TINY, steps=30, logdir=tmp_path / "run", resume="never", quiet=True)
    with pytest.raises(ValueError, match="already holds a run; choose another logdir"):
        Trainer(ENV, TINY, logdir=tmp_path / "run", resume="never", quiet=True)
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", resume="must", quiet=True)
    trainer.close()
    assert trainer.env_steps >= 30


def test_a_full_disk_does_not_end_a_run(tmp_path, capsys):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("only an administrator can make a small disk")
    filler, phases, problems = mount / "filler", [], []
    config = replace(TINY, run=replace(TINY.run, dream_every=1e-9, tensorboard=True))

    def watch(run) -> bool:
        if run.env_steps >= 60 and not phases:
            run._saver.save_now()
            phases.append(run._folder.newest)
            filler.write_bytes(bytes(shutil.disk_usage(mount).free))
        elif run.env_steps >= 80 and len(phases) == 1:
            problems.append(run._saver.save_now())
            phases.append(run._folder.newest)
            filler.unlink()
        return False

    try:
        trainer = Trainer(ENV, config, steps=120, logdir=mount / "run")
        trainer.run(watch)
        trainer.close()
        told = capsys.readouterr().out.replace("\n", " ")
        assert "o space left on device" in problems[0]
        assert "metrics can't be written to metrics.jsonl" in told
        assert "metrics can't be written to TensorBoard" in told
        assert "the open-loop prediction failed" in told
        assert (mount / "run" / "report.html").exists()
        assert phases[0] == phases[1]  # the previous one is still there
        again = Trainer(ENV, TINY, steps=120, logdir=mount / "run", quiet=True)
        again.close()
        assert again.env_steps >= 120
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


class Flaky(Recorder):
    """Raises in the third step of every other episode."""

    episodes = 0

    def reset(self, *, seed=None, options=None):
        Flaky.episodes += 1
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if Flaky.episodes % 2 == 0 and self.count == 2:
            raise TimeoutError("no answer [/INST]")  # brackets are markup to the display
        return super().step(action)


def test_failing_environments_are_replaced_and_their_episodes_cut_off(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reverie.envs.vector.FIRST_PAUSE", 0.001)
    config = replace(TINY, env=EnvConfig(envs=1, restarts=100))
    trainer = Trainer(Flaky, config, steps=40, logdir=tmp_path / "run")
    trainer.run()
    stream = {name: x[0] for name, x in held(trainer).items()}
    trainer.close()
    first, last, count = stream["is_first"], stream["is_last"], stream["observation.vector"][:, 0]
    np.testing.assert_array_equal(first[1:], last[:-1])
    cut = last & (count == 2)
    assert cut.sum() >= 3
    assert not stream["is_terminal"][cut].any()  # truncated: the future still counts
    rows = read_metrics(tmp_path / "run")
    assert {row["episode/return"] for row in rows if "episode/return" in row} == {15.0}  # 1 + … + 5, complete ones only
    # A record is stored with its action, so the newest first one may still be missing.
    assert max(row.get("env/restarts", 0) for row in rows) - cut.sum() in (0, 1)
    assert "Environment 0 failed (TimeoutError: no answer [/INST])" in capsys.readouterr().out.replace("\n", " ")


def test_past_the_budget_the_run_is_saved_and_the_error_is_the_environments(tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.envs.vector.FIRST_PAUSE", 0.001)
    config = replace(TINY, env=EnvConfig(envs=1, restarts=2))
    with pytest.raises(TimeoutError, match="no answer"):
        train(Flaky, config, steps=200, logdir=tmp_path / "run", quiet=True)
    trainer = Trainer(Flaky, config, logdir=tmp_path / "run", quiet=True)
    trainer.close()
    assert trainer.env_steps > 10
