"""The memory that replay will need is checked before anything is collected."""

import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from reverie.training import memory


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GiB", 8 * 2**30), ("500 MB", 5 * 10**8), ("1.5kb", 1500), ("2TiB", 2 * 2**40), ("7B", 7), ("3 mib", 3 * 2**20)],
)
def test_sizes_as_people_write_them(text, count):
    assert memory.budget(text, memory.Room(None, 1.0, "")) == count


@pytest.mark.parametrize("text", ["", "8", "GiB", "-1GB", "8 gigs", "1e9B"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="replay.memory must be 'auto' or a size such as '8GiB' or '500MB'"):
        memory.budget(text, memory.Room(None, 1.0, ""))


def test_auto_is_a_part_of_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    assert memory.budget("auto", memory.room("memory")) == 800
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    unknown = memory.room("memory")
    assert memory.budget("auto", unknown) is None
    memory.check(10**9, 10**9, "auto", unknown)  # what is unknown is allowed


def test_a_disk_is_that_of_the_folder_to_be(tmp_path):
    room = memory.room("disk", tmp_path / "not" / "there" / "yet")
    assert room.free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert room.share == pytest.approx(0.95 / 2)  # a checkpoint holds everything once more
    half_latents = memory.room("disk", tmp_path, latents=0.5, keep=2)
    assert half_latents.share == pytest.approx(0.95 / 3)  # the buffer, the records, and three times the latents


def test_what_checkpoints_of_the_run_take_is_free_to_them(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    (arrays := tmp_path / "checkpoints" / "arrays").mkdir(parents=True)
    (arrays / "replay.records.000000-7.safetensors").write_bytes(bytes(300))
    (arrays / "networks-7.safetensors").write_bytes(bytes(50))
    assert memory.room("disk", tmp_path).free == 1300


def test_a_device_that_says_nothing_shares_the_hosts_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    assert memory.budget("auto", memory.room("device")) == 500


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it may be unknown")
def test_what_is_free_is_known_here():
    assert 10**7 < memory.free_memory() < 10**14


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 50000\n")
    assert memory.free_memory() == 650_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() > 10**7


def test_a_limit_of_an_older_system_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (folder := tmp_path / "memory").mkdir()
    (folder / "memory.limit_in_bytes").write_text("1000000\n")
    (folder / "memory.usage_in_bytes").write_text("400000\n")
    (folder / "memory.stat").write_text("cache 300000\ntotal_inactive_file 50000\n")
    assert memory.free_memory() == 650_000
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # written when there is no limit
    assert memory.free_memory() > 10**7


def test_too_much_is_refused_with_what_would_fit():
    room = memory.Room(1_000_000, 0.5, "the free memory")
    memory.check(1000, 500, "500kB", room)
    with pytest.raises(
        ValueError, match=r"needs at least 501 kB for 1,002 records of 500 bytes, but replay.memory is 500 kB"
    ) as error:
        memory.check(1002, 500, "500kB", room)
    assert "--replay-capacity 1000, train for at most 1,000 steps" in str(error.value)
    assert "--replay-memory 506kB" in str(error.value)
    with pytest.raises(ValueError, match="--replay-capacity 1000, train for at most 500 steps"):
        memory.check(1002, 500, "500kB", room, per_step=2)
    memory.check(1002, 500, "506kB", room)
    with pytest.raises(ValueError, match="but 50% of the free memory is 500 kB"):
        memory.check(1002, 500, "auto", room)


SCRIPT = """
import numpy as np
from reverie.experience import Experience
from reverie.replay import Replay
flag = np.zeros((), bool)
image, action, reward = np.zeros((64, 64, 3), np.uint8), np.zeros((), np.int32), np.zeros((), np.float32)
deter, stoch = np.zeros(512, np.float16), np.zeros(32, np.uint8)
template = Experience({"image": image}, {"a": action}, reward, flag, flag, flag, deter, stoch)
replay = Replay(template, capacity=40_000, num_envs=2, sequence=65)
import jax
record = jax.tree.map(lambda x: np.zeros((2, *x.shape), x.dtype), template)
record.observation["image"][:] = 7
def resident():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))
latents = np.zeros((16, 64, 512), np.float16), np.zeros((16, 64, 32), np.uint8)
before = resident()
for step in range(27_000):
    replay.add(record)
    if step % 50 == 0 and replay.ready():
        sample = replay.sample(16)
        replay.write_latents(sample.rows, *latents)
print(resident() - before, replay.nbytes_full)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is counted in other ways")
def test_replay_takes_what_it_says_also_after_wrapping_around():
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(source)}
    )
    assert done.returncode == 0, done.stderr
    taken, announced = map(int, done.stdout.split())
    assert taken == pytest.approx(announced, rel=0.1)  # including a batch or two
