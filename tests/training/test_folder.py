"""The run folder: what is saved is restored, and it tells the truth about what is on disk."""

import errno
import json
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import gymnasium as gym
import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.agent import Agent
from reverie.config import Config, EnvConfig, ModelConfig, OptimizerConfig, ReplayConfig
from reverie.errors import InputError
from reverie.experience import Experience
from reverie.learner import Learner, LearnerState, StoredLatents
from reverie.replay import Replay, Rows
from reverie.spaces import Spaces
from reverie.storage import GuaranteeWarning, Part, Store, copied, read_rows
from reverie.storage.manifests import _digest, manifest_name, write_manifest
from reverie.training import folder
from reverie.training.folder import Restored, RunFolder
from reverie.training.learning import Pending
from reverie.training.metrics import JsonLines

TEMPLATE = Experience(
    observation={"vector": np.zeros(3, np.float32)},
    action={"action": np.zeros((), np.int32)},
    reward=np.zeros((), np.float32),
    is_first=np.zeros((), bool),
    is_last=np.zeros((), bool),
    is_terminal=np.zeros((), bool),
    deter=np.zeros(4, np.float32),
    stoch=np.zeros(2, np.uint8),
)


def make(num_envs: int = 2) -> Replay:
    return Replay(TEMPLATE, capacity=num_envs * 23, num_envs=num_envs, sequence=4, segment=5, seed=1)


def use(replay: Replay, steps: range) -> None:
    """Add, sample and write latents back, with distinguishable numbers."""
    for step in steps:
        rng = np.random.default_rng(step)
        record = jax.tree.map(lambda x: rng.integers(0, 99, (2, *x.shape)).astype(x.dtype), TEMPLATE)  # noqa: B023
        replay.add(record._replace(is_first=np.full(2, step % 7 == 0), is_last=np.full(2, step % 7 == 6)))
        if replay.ready():
            rows = replay.sample(3).rows
            deter, stoch = rng.normal(size=(3, 3, 4)), rng.integers(0, 9, (3, 3, 2))
            replay.write_latents(rows, deter.astype(np.float32), stoch.astype(np.uint8))


def save(store: Store, count: int, replay: Replay) -> None:
    parts = {name: Part(*part) for name, part in replay.parts().items()}
    assert store.save(count, {"replay": replay.state()}, parts, wait=True)
    assert store.problem() is None


@pytest.mark.parametrize("interval", [1, 4, 11])
def test_many_saves_and_restarts_around_the_ring_lose_nothing(tmp_path, interval):
    """Compare with a buffer that is never saved; its 23 slots are filled almost three times."""
    untouched, replay = make(), make()
    store = Store(tmp_path)
    for start in range(0, 66, interval):
        steps = range(start, start + interval)
        use(untouched, steps)
        use(replay, steps)
        save(store, start + 1, replay)
        if start % 3 == 0:  # the process ends and a new one starts
            store.close()
            store, replay = Store(tmp_path), make()
            checkpoint = store.load(store.counts[0])
            assert replay.restore(checkpoint.meta["replay"], checkpoint.read)
            store.remember(checkpoint, {name: version for name, (version, _) in replay.parts().items()})
        assert replay.state() == untouched.state()
        if untouched.ready():
            jax.tree.map(np.testing.assert_array_equal, replay.sample(8), untouched.sample(8))
    store.close()


def test_a_package_that_is_not_installed_has_no_version():
    assert folder._version("numpy") == np.__version__
    assert folder._version("no-such-package-anywhere") is None


CONFIG = Config(
    model=ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=4, groups=2, blocks=2),
    replay=ReplayConfig(batch=3, length=3),
    env=EnvConfig(envs=2),
)
SPACES = Spaces(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2))


def agent(config: Config = CONFIG, spaces: Spaces = SPACES) -> Agent:
    """An agent without parameters, which a run folder does not need."""
    return Agent(spaces, config, networks=fresh_state().networks)


@cache
def fresh_state(config: Config = CONFIG) -> LearnerState:
    shapes = jax.eval_shape(Learner(SPACES.observation, SPACES.action, config).init, jax.random.key(0))
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def open_run(path: Path, config: Config = CONFIG, env: str | None = "Env-v0") -> RunFolder:
    return RunFolder(path, agent(config), env, keep=2)


def progress(steps: int, envs: int = 2) -> dict:
    running = {"returns": [1.0] * envs, "lengths": [2] * envs}
    return {
        "env_steps": steps,
        "updates": 5,
        "credit": 0.5,
        "episodes": {"count": 3, "recent": [1.0], **running},
        "pending": True,
        "loop": "plain",
        "envs": {"where": "they are"},
    }


LATENTS = StoredLatents(np.zeros((3, 3, 4), np.float32), np.zeros((3, 3, 2), np.uint8))
LOOP = {
    "pending": Pending(Rows(np.zeros(3, np.int64), np.zeros(3, np.int64)), LATENTS, np.array(True)),
    "now": {"reward": np.zeros(2, np.float32)},
}


def save_run(run: RunFolder, steps: int, replay: Replay | None = None) -> None:
    run.save(fresh_state(), replay or make(), LOOP, progress(steps), wait=True)


def restored(run: RunFolder, config: Config = CONFIG) -> tuple[Restored, Replay]:
    replay = make(config.env.envs)
    result = run.restore(fresh_state(config), replay, pytest.fail)
    assert result is not None
    return result, replay


ALLOWED = {
    "optimizer.learning_rate": replace(CONFIG, optimizer=OptimizerConfig(learning_rate=1e-3)),
    "loss.rep": replace(CONFIG, loss=replace(CONFIG.loss, rep=0.2)),
    "behaviour.entropy_scale": replace(CONFIG, behaviour=replace(CONFIG.behaviour, entropy_scale=1e-3)),
    "env.envs": replace(CONFIG, env=EnvConfig(envs=3)),
    "replay.batch": replace(CONFIG, replay=ReplayConfig(batch=5, length=3)),
    "replay.length": replace(CONFIG, replay=ReplayConfig(batch=3, length=7)),
    "run.steps": replace(CONFIG, run=replace(CONFIG.run, steps=7)),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_settings_change_on_resume_and_are_recorded(tmp_path, name):
    run = open_run(tmp_path / "run")
    save_run(run, 100)
    run.close()
    run = open_run(tmp_path / "run", ALLOWED[name])
    assert list(run.changes) == [name]
    result, _ = restored(run, ALLOWED[name])
    run.close()
    assert result.progress["env_steps"] == 100
    keeps = name not in ("env.envs", "replay.batch", "replay.length")
    assert result.progress["pending"] == keeps == any("pending" in array for array in result.loop)
    (row,) = read_rows(tmp_path / "run" / "history.jsonl")
    assert row["env_steps"] == 100
    assert row["changed"] == {name: list(run.changes[name])}
    again = open_run(tmp_path / "run", ALLOWED[name])
    assert again.changes == {}
    again.close()


FIXED = {
    "seed: 0 → 1, but another seed is another run": replace(CONFIG, seed=1),
    "model.units: 4 → 8, but the saved parameters": replace(CONFIG, model=replace(CONFIG.model, units=8)),
    "optimizer.warmup: 1000 → 0, but without a warm-up": replace(CONFIG, optimizer=OptimizerConfig(warmup=0)),
    "env.action_repeat: 1 → 2, but the recorded": replace(CONFIG, env=EnvConfig(envs=2, action_repeat=2)),
}


@pytest.mark.parametrize("message", FIXED)
def test_settings_that_cannot_change_are_refused_with_the_reason(tmp_path, message):
    open_run(tmp_path / "run").close()
    before = (tmp_path / "run" / "agent.json").read_text()
    with pytest.raises(InputError, match=message):
        open_run(tmp_path / "run", FIXED[message])
    assert (tmp_path / "run" / "agent.json").read_text() == before


def test_another_environment_is_refused(tmp_path):
    open_run(tmp_path / "run").close()
    with pytest.raises(InputError, match="env: Env-v0 → Other-v0, but a run has one environment"):
        open_run(tmp_path / "run", env="Other-v0")
    other = Spaces(gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2))
    with pytest.raises(InputError, match="the environment's spaces differ"):
        RunFolder(tmp_path / "run", agent(CONFIG, other), "Env-v0", 2)


@pytest.mark.parametrize("envs", [1, 2, 4])
def test_another_number_of_environments_keeps_the_experience(tmp_path, envs):
    replay = make()
    use(replay, range(40))
    run = open_run(tmp_path / "run")
    save_run(run, 80, replay)
    run.close()
    config = replace(CONFIG, env=EnvConfig(envs=envs))
    run = open_run(tmp_path / "run", config)
    result, resumed = restored(run, config)
    run.close()
    for ours, theirs in zip(resumed.recordings(), replay.recordings(), strict=False):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert len(resumed.recordings()) == min(envs, 2)
    assert len(result.progress["episodes"]["returns"]) == envs
    assert (result.progress["envs"], result.progress["pending"]) == (
        ({"where": "they are"}, True) if envs == 2 else (None, False)
    )
    assert set(result.loop) == (set(copied(LOOP)) if envs == 2 else set())


def test_the_folder_says_whether_the_newest_state_is_on_disk(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("only an administrator can make a small disk")
    try:
        run = open_run(mount / "run")
        (mount / "filler").write_bytes(bytes(90_000))
        save_run(run, 100)
        problem = run.problem() or ""
        assert "checkpoint 105 could not be written" in problem
        assert "No space left on device" in problem
        assert not run.holds(105)
        (mount / "filler").unlink()
        run.close()
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_a_run_that_was_moved_is_not_continued_elsewhere(tmp_path):
    run = open_run(tmp_path / "run")
    save_run(run, 100)
    assert run.holds(105)
    (tmp_path / "run").rename(tmp_path / "moved")
    save_run(run, 200)
    assert "was moved, deleted or replaced while in use" in (run.problem() or "")
    assert "could not be written" in run.keep_batch(TEMPLATE)
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]
    other = open_run(tmp_path / "run")  # another run in its place, with a checkpoint of the same count
    save_run(other, 300)
    save_run(run, 300)
    assert "was moved, deleted or replaced while in use" in (run.problem() or "")
    assert other.holds(305)
    assert not run.holds(305)
    run.close()
    other.close()


def test_a_checkpoint_that_claims_to_be_newer_than_it_is_gives_way(tmp_path):
    """New ones would count as older, and be removed."""
    run = open_run(tmp_path / "run")
    save_run(run, 100)
    checkpoint = run._store.load(105)
    files = {name: list(file) for name, file in checkpoint.files.items()}
    write_manifest(checkpoint.folder, manifest_name(10**15), {"count": 10**15, "meta": checkpoint.meta, "files": files})
    told: list[str] = []
    assert run.restore(fresh_state(), make(), told.append).progress["env_steps"] == 100
    assert "its steps and updates are 105. Continuing from the checkpoint before it" in told[0]
    assert run.holds(105)
    run.close()


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.warns(GuaranteeWarning, match=r"can't be locked \(Function not implemented\)"):
        run = open_run(tmp_path / "run")
    save_run(run, 100)
    assert run.holds(105)
    run.close()


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "history.jsonl", "skipped_batch.safetensors", "agent.json"])
def test_linked_files_are_not_written_to(tmp_path, name):
    (tmp_path / "precious").write_text("years of work")
    open_run(tmp_path / "run").close()
    link = tmp_path / "run" / name
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "precious")
    config = ALLOWED["run.steps"]
    try:
        run = open_run(tmp_path / "run", config)
        run.keep_batch(TEMPLATE)
        JsonLines(run.path, 10**9).close()
        run.restore(fresh_state(config), make(), pytest.fail)
    except InputError as error:
        assert f"{name}' is a link" in str(error)  # noqa: PT017, some links are replaced without an error
    assert (tmp_path / "precious").read_text() == "years of work"


def test_the_best_checkpoint_is_kept(tmp_path):
    run = open_run(tmp_path / "run")
    for steps, score in ((100, 1.0), (200, 3.0), (300, 2.0), (400, 1.0), (500, 0.0)):
        save_run(run, steps)
        assert run.beats_best(score) == (score in (1.0, 3.0) and steps <= 200)
        run.mark_best(score)
        assert run.problem() is None
    run.close()
    best = Store(tmp_path / "run" / "checkpoints").best()
    assert best is not None
    assert (best.score, best.count, set(best.files)) == (3.0, 205, {"networks"})


WRONG = [None, True, -1, 0.5, 2**63, 10**399, float("inf"), float("nan"), "\ud800", "²", [], {}, [10**12], [[]]]


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    run, replay = open_run(path), make()
    use(replay, range(30))
    save_run(run, 100, replay)
    run.close()
    return path


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_manifest_is_restored_or_refused_with_a_sentence(saved_run, data):
    """Whoever changes a value in a manifest can also make its checksum."""
    manifest = saved_run / "checkpoints" / "000000000105.json"
    original = manifest.read_text()
    document = json.loads(original)
    del document["digest"]
    inside: dict = document
    while True:
        name = data.draw(st.sampled_from(sorted(inside)))
        if not isinstance(inside[name], dict) or data.draw(st.booleans()):
            break
        inside = inside[name]
    inside[name] = data.draw(st.sampled_from(WRONG))
    manifest.write_text(json.dumps(document | {"digest": _digest(document)}))
    run = open_run(saved_run)
    problems, refusal = list[str](), ""
    try:
        run.restore(fresh_state(), make(), problems.append)
    except InputError as error:
        refusal = str(error)
    finally:
        run.close()
        for path in saved_run.glob("checkpoints/*.damaged"):
            path.unlink()
        manifest.write_text(original)
    assert not problems  # it is the only checkpoint, so that nothing is set aside
    assert not refusal or "can be read" in refusal
    refusal.encode()
