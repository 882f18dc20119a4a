"""Checkpoints: the newest undamaged one is found, whatever happened to the process, the files or the disk."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reverie.storage import DamagedFileError, FixedFolder, Part, Store, read_newest

SOURCE = Path(__file__).parents[2] / "src"


def part(value: int, size: int = 1000, version: int | None = None) -> Part:
    return Part(version, lambda: {"x": np.full(size, value, np.int64)})


def save(store: Store, count: int, **parts: Part) -> None:
    assert store.save(count, {"count": count}, parts or {"state": part(count)}, wait=True)


def newest(store: Store) -> tuple[int | None, list[int]]:
    """The value of the newest readable checkpoint, and the counts of damaged ones."""
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


def test_only_the_newest_checkpoints_are_kept(store):
    assert newest(store) == (None, [])
    for count in (3, 7, 20):
        save(store, count)
    assert store.counts == [20, 7]
    assert files(store) == {"state-000000000020.safetensors", "state-000000000007.safetensors"}
    assert newest(store) == (20, [])
    assert store.load(7).meta == {"count": 7}


def test_unchanged_parts_are_not_written_again(store):
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


def test_arrays_are_copied_when_save_is_called(store):
    x = np.zeros(10**6)
    assert store.save(1, {}, {"state": Part(None, lambda: {"x": x.copy()})})
    x[:] = 7
    store.wait()
    assert not store.load(1).read("state")["x"].any()


def test_meta_is_copied_when_save_is_called(store):
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


def test_a_running_save_is_not_overtaken(store):
    begun = [store.save(count, {}, {"state": part(count, 3 * 10**6)}) for count in range(1, 4)]
    assert begun[0]
    store.wait()
    assert newest(store) == (1 + max(i for i, done in enumerate(begun) if done), [])


def test_an_unreadable_manifest_is_not_called_damaged(store, monkeypatch):
    save(store, 1)

    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "open", refuse)
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
def test_the_checkpoint_before_a_damaged_one_is_used(store, file, damage):
    save(store, 1)
    save(store, 2)
    path = store._folder / file
    path.write_bytes(damage(path.read_bytes()))
    assert newest(store) == (1, [2])
    store.set_aside(2)
    assert newest(store) == (1, [])
    save(store, 3)
    assert newest(store) == (3, [])


@pytest.mark.parametrize("kind", ["folder", "link", "renamed"])
def test_what_only_has_the_name_of_a_manifest_is_a_damaged_checkpoint(store, tmp_path, kind):
    save(store, 1)
    save(store, 2)
    path = store._folder / "000000000002.json"
    path.rename(tmp_path / "elsewhere")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes((store._folder / "000000000001.json").read_bytes())
    assert newest(store) == (1, [2])
    store.set_aside(2)
    save(store, 3)
    assert (newest(store), store.problem()) == ((3, []), None)


def test_a_folder_among_old_manifests_does_not_keep_files_from_being_removed(store):
    (store._folder / "000000000000.json" / "inside").mkdir(parents=True)
    for count in range(1, 5):
        save(store, count)
    assert store.counts == [4, 3]
    assert "state-000000000001.safetensors" not in files(store)
    assert (store._folder / "000000000000.damaged" / "inside").is_dir()


def test_a_missing_file_is_noticed(store):
    save(store, 1)
    (store._folder / "arrays" / "state-000000000001.safetensors").unlink()
    with pytest.raises(DamagedFileError, match=r"state-000000000001.safetensors' is missing, expected 8,\d+ bytes"):
        store.load(1)


def edited(store: Store, **changes: object) -> None:
    """Change a manifest and its checksum."""
    from reverie.storage.manifests import _digest

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
def test_manifests_that_lead_elsewhere_are_refused(store, tmp_path, files):
    save(store, 1)
    (tmp_path / "secret.safetensors").write_text("secret")
    (store._folder / "arrays" / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    edited(store, files=files)
    with pytest.raises(DamagedFileError):
        store.load(1)
    assert (tmp_path / "secret.safetensors").read_text() == "secret"


def test_other_documents_are_not_manifests(store):
    save(store, 1)
    path = store._folder / "000000000001.json"
    for contents in ("[]", "7", '{"digest": 3}', "[" * 100_000):
        path.write_text(contents)
        assert newest(store) == (None, [1])
    with path.open("wb") as file:
        file.truncate(2**27)
    assert newest(store) == (None, [1])


def test_a_full_disk_keeps_the_last_checkpoint_until_there_is_room(tmp_path):
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
        assert store.problem() is None  # returned once
        assert "checkpoint 2 could not be written" in (store.failure or "")
        assert newest(store) == (1, [])
        (mount / "filler").unlink()
        save(store, 3, state=part(3, 50_000))
        assert newest(store) == (3, [])
        assert store.failure is None
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


def test_a_kill_at_any_moment_loses_nothing_that_was_saved(tmp_path):
    """Many times in one folder: what a process reported as saved is there afterwards, undamaged."""
    chance, reported = random.Random(0), 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        assert first, "the writer could not continue"
        time.sleep(chance.uniform(0, 0.05))
        writer.kill()
        last = int(([first] + [line for line in writer.stdout.read().splitlines(True) if line.endswith("\n")])[-1])
        assert last > reported  # it continued from the last checkpoint
        reported = last
        store = Store(tmp_path)
        checkpoint = store.load(store.counts[0])
        value = int(checkpoint.read("state")["x"][0])
        assert value == checkpoint.count == checkpoint.meta["count"] >= reported
        assert checkpoint.read("old")["x"][0] == value // 10
        store.close()


def test_the_best_checkpoint_is_kept_besides_the_newest(tmp_path):
    store = Store(tmp_path / "checkpoints", keep=1, best=("networks",))
    for count, score in ((1, 5.0), (2, 9.0), (3, 7.0), (4, None)):
        parts = {"networks": part(count), "replay": part(count)}
        assert store.save(count, {"at": count}, parts)
        if score is not None:
            store.mark_best(count, score)
        store.wait()
        assert store.problem() is None
    best = store.best()
    assert best is not None
    assert (best.count, best.score, best.meta, set(best.files)) == (2, 9.0, {"at": 2}, {"networks"})
    assert best.read("networks")["x"][0] == 2
    assert (store.beats_best(9.0), store.beats_best(9.1)) == (False, True)
    assert store.counts == [4]
    assert files(store) == {f"{name}.safetensors" for name in ("networks-000000000002", *NEWEST)}
    store.mark_best(4, 8.0)
    assert store.best().count == 2
    store.mark_best(4, 10.0)
    assert (store.best().count, store.problem()) == (4, None)
    store.close()


NEWEST = ("networks-000000000004", "replay-000000000004")


@pytest.mark.parametrize("name", ["7.json", "000000000007 (copy).json", "00000000000\u00b2.json", "7/"])
def test_only_manifests_count_as_checkpoints(store, name):
    save(store, 1)
    path = store._folder / name
    path.mkdir() if name.endswith("/") else path.write_text("{}")
    assert store.counts == [1]
    save(store, 2)
    assert newest(store) == (2, [])
    assert path.exists()


def test_other_files_are_never_removed(store):
    save(store, 1)
    arrays = store._folder / "arrays"
    for name in ("thesis.safetensors", "notes.txt", "networks.safetensors"):
        (arrays / name).write_text("years of work")
    (arrays / "state-000000000007.safetensors").write_text("left over by a save that was interrupted")
    (arrays / ".state-000000000008.tmp.safetensors").write_text("left over by a save that was interrupted")
    save(store, 2)
    assert files(store) == {
        *(f"state-00000000000{count}.safetensors" for count in (1, 2)),
        *("thesis.safetensors", "notes.txt", "networks.safetensors"),
    }


@pytest.mark.parametrize("linked", ["checkpoints", "checkpoints/arrays"])
def test_a_linked_folder_is_not_written_to(tmp_path, linked):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "state-000000000001.safetensors").write_text("precious")
    link = tmp_path / "run" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    store = Store(tmp_path / "run" / "checkpoints")
    store.save(2, {}, {"state": part(2)}, wait=True)
    store.close()
    assert "is a link, expected a folder" in (store.failure or "")
    assert [path.name for path in elsewhere.iterdir()] == ["state-000000000001.safetensors"]


@pytest.mark.parametrize(
    "name", ["000000000001.json", ".000000000001.tmp.json", "arrays/.state-000000000001.tmp.safetensors"]
)
def test_linked_files_are_not_written_to(store, tmp_path, name):
    (tmp_path / "precious").write_text("years of work")
    link = store._folder / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "precious")
    save(store, 1)
    assert store.failure is None
    assert newest(store) == (1, [])
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_moved_folder_fails_the_save(tmp_path):
    (tmp_path / "run").mkdir()
    run = FixedFolder(tmp_path / "run")
    store = Store(tmp_path / "run" / "checkpoints", check=run.check)
    save(store, 1)
    (tmp_path / "run").rename(tmp_path / "moved")
    for _ in range(2):  # also where another folder has taken its place
        store.save(2, {}, {"state": part(2)}, wait=True)
        assert "was moved, deleted or replaced while in use" in (store.failure or "")
        assert not (tmp_path / "run" / "checkpoints").exists()
        (tmp_path / "run").mkdir(exist_ok=True)
    assert Store(tmp_path / "moved" / "checkpoints").counts == [1]
    store.close()
    run.close()
