"""Checkpoints: the newest whole one is found, whatever happened to the process, the files or the disk."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reverie.storage import DamagedFileError, Part, Store, read_newest

SOURCE = Path(__file__).parents[2] / "src"


def part(value: int, size: int = 1000, version: int | None = None) -> Part:
    return Part(version, lambda: {"x": np.full(size, value, np.int64)})


def save(store: Store, count: int, **parts: Part) -> None:
    assert store.save(count, {"count": count}, parts or {"state": part(count)}, wait=True)


def newest(store: Store) -> tuple[int | None, list[int]]:
    """The value of the newest checkpoint that can be read, and the counts of damaged ones."""
    bad: list[int] = []
    value = read_newest(store, lambda c: int(c.read("state")["x"][-1]), lambda count, _: bad.append(count))
    return value, bad


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "checkpoints")
    yield store
    store.close()


def files(store: Store) -> set[str]:
    return {path.name for path in (store._folder / "arrays").iterdir()}


def test_the_newest_are_kept_and_the_others_go(store):
    assert newest(store) == (None, [])
    for count in (3, 7, 20):
        save(store, count)
    assert store.counts == [20, 7]
    assert files(store) == {"state-000000000020.safetensors", "state-000000000007.safetensors"}
    assert newest(store) == (20, [])
    assert store.load(7).meta == {"count": 7}


def test_what_has_not_changed_is_not_written_again(store):
    save(store, 1, old=part(1, version=5), state=part(1))
    save(store, 2, old=part(2, version=5), state=part(2))
    save(store, 3, old=part(3, version=5), state=part(3))
    assert files(store) == {
        f"{name}.safetensors" for name in ("old-000000000001", "state-000000000002", "state-000000000003")
    }
    assert store.load(3).read("old")["x"][0] == 1
    save(store, 4, old=part(4, version=6), state=part(4))
    assert store.load(4).read("old")["x"][0] == 4
    reader = Store(store._folder)
    reader.remember(reader.load(4), {"old": 6})
    save(reader, 5, old=part(5, version=6), state=part(5))
    assert reader.load(5).read("old")["x"][0] == 4
    reader.close()


def test_a_copy_is_of_the_moment_of_the_call(store):
    x = np.zeros(10**6)
    assert store.save(1, {}, {"state": Part(None, lambda: {"x": x.copy()})})
    x[:] = 7
    store.wait()
    assert not store.load(1).read("state")["x"].any()


def test_what_belongs_to_it_is_of_that_moment_too(store):
    live = {"where": list(range(100_000)), 9: "a number", 10: "another"}
    assert store.save(1, live, {"state": part(1, 10**6)})
    live["where"][:] = []
    store.wait()
    meta = store.load(1).meta
    assert meta["where"] == list(range(100_000))
    assert meta["9"] == "a number"
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.save(2, {"what": object()}, {})
    save(store, 3)


def test_a_save_in_the_background_is_not_overtaken(store):
    begun = [store.save(count, {}, {"state": part(count, 3 * 10**6)}) for count in range(1, 4)]
    assert begun[0]
    store.wait()
    assert newest(store) == (1 + max(i for i, done in enumerate(begun) if done), [])


def test_a_list_that_may_not_be_read_is_no_damage(store, monkeypatch):
    save(store, 1)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError("not yours")))
    with pytest.raises(PermissionError):
        newest(store)


DAMAGE = {
    "empty": lambda contents: b"",
    "cut": lambda contents: contents[: len(contents) // 2],
    "flipped": lambda contents: contents[:-9] + bytes([contents[-9] ^ 4]) + contents[-8:],
    "other": lambda contents: os.urandom(len(contents)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", ["000000000002.json", "arrays/state-000000000002.safetensors"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(store, file, damage):
    save(store, 1)
    save(store, 2)
    path = store._folder / file
    path.write_bytes(damage(path.read_bytes()))
    assert newest(store) == (1, [2])
    store.set_aside(2)
    assert newest(store) == (1, [])
    save(store, 3)
    assert newest(store) == (3, [])


def test_a_missing_file_is_noticed(store):
    save(store, 1)
    (store._folder / "arrays" / "state-000000000001.safetensors").unlink()
    with pytest.raises(DamagedFileError, match=r"state-000000000001.safetensors is missing, expected 8,\d+ bytes"):
        store.load(1)


def edited(store: Store, **changes: object) -> None:
    """A list that was changed by someone who knows how to make its checksum."""
    from reverie.storage.store import _digest

    path = store._folder / "000000000001.json"
    data = json.loads(path.read_text()) | changes
    data.pop("digest")
    path.write_text(json.dumps(data | {"digest": _digest(data)}))


@pytest.mark.parametrize(
    "files",
    [
        {"state": ["../../secret.safetensors", 8, "00"]},
        {"state": ["/etc/passwd", 8, "00"]},
        {"state": ["..", 8, "00"]},
        {"state": ["link.safetensors", 6, "00"]},
        {"state": [7, 8, "00"]},
        {"state": "name"},
        {"state": ["a.safetensors", 8, "00", 1]},
        ["state"],
        None,
    ],
    ids=str,
)
def test_lists_that_lead_elsewhere_are_refused(store, tmp_path, files):
    save(store, 1)
    (tmp_path / "secret.safetensors").write_text("secret")
    (store._folder / "arrays" / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    edited(store, files=files)
    with pytest.raises(DamagedFileError):
        store.load(1)
    assert (tmp_path / "secret.safetensors").read_text() == "secret"


def test_a_list_of_another_kind_is_refused(store):
    save(store, 1)
    path = store._folder / "000000000001.json"
    for contents in ("[]", "7", '{"digest": 3}', "[" * 100_000):
        path.write_text(contents)
        assert newest(store) == (None, [1])
    with path.open("wb") as file:
        file.truncate(2**27)
    assert newest(store) == (None, [1])


def test_a_full_disk_keeps_the_last_checkpoint_and_the_next_save_finds_room(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("only an administrator can make a small disk")
    store = Store(mount / "checkpoints")
    try:
        save(store, 1)
        (mount / "filler").write_bytes(bytes(900_000))
        store.save(2, {}, {"state": part(2, 100_000)}, wait=True)
        problem = store.problem()
        assert problem is not None
        assert "checkpoint 2 could not be written" in problem
        assert "o space left on device" in problem
        assert store.problem() is None  # told once
        assert newest(store) == (1, [])
        (mount / "filler").unlink()
        save(store, 3, state=part(3, 50_000))
        assert newest(store) == (3, [])
        assert len(files(store)) == 2  # nothing is left of the second
    finally:
        store.close()
        subprocess.run(["umount", str(mount)], check=True)


WRITER = """
import sys, pathlib, numpy as np
from reverie.storage import Part, Store, read_newest
store = Store(pathlib.Path(sys.argv[1]))
start = read_newest(store, lambda c: int(c.read("state")["x"][-1]), lambda *_: sys.exit("damaged")) or 0
for count in range(start + 1, start + 100000):
    version = count // 10
    parts = {"state": Part(None, lambda: {"x": np.full(200_000, count)}),
             "old": Part(version, lambda: {"x": np.full(1000, version)})}
    store.save(count, {"count": count}, parts, wait=True)
    print(count, flush=True)
"""


def test_killed_at_any_moment_nothing_that_was_saved_is_lost(tmp_path):
    """Thirty times over in one folder: what a process has reported as saved is there afterwards, whole."""
    chance, reported = random.Random(0), 0
    for _ in range(30):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        assert first, "the writer could not go on"
        time.sleep(chance.uniform(0, 0.05))
        writer.kill()
        last = int(([first] + [line for line in writer.stdout.read().splitlines(True) if line.endswith("\n")])[-1])
        assert last > reported  # it went on from what there was
        reported = last
        store = Store(tmp_path)
        checkpoint = store.load(store.counts[0])
        value = int(checkpoint.read("state")["x"][0])
        assert value == checkpoint.count == checkpoint.meta["count"] >= reported
        assert checkpoint.read("old")["x"][0] == value // 10
        store.close()
