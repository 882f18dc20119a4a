"""Single files: no link is followed, nothing but regular files is read, and a failed write changes nothing."""

import errno
import fcntl
import os

import pytest

from reverie.errors import InputError
from reverie.storage import (
    DamagedFileError,
    FixedFolder,
    GuaranteeWarning,
    empty_folder,
    open_to_append,
    read_bytes,
    replacing,
    replacing_path,
    subfolder,
    write_text,
)


@pytest.fixture
def precious(tmp_path):
    """A file that nothing may change."""
    path = tmp_path / "precious"
    path.write_text("years of work")
    yield path
    assert path.read_text() == "years of work"


def test_reading_refuses_everything_but_regular_files(tmp_path, precious):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(precious)
    os.mkfifo(folder / "pipe")
    for path, problem in [
        (folder / "link", "is a link"),
        (folder / "pipe", "not a regular file"),
        (folder, "not a regular file|Is a directory"),
        (folder / "missing", "No such file"),
        (precious / "below", "Not a directory"),
    ]:
        with pytest.raises(DamagedFileError, match=problem):
            read_bytes(path, 100)
    with (folder / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DamagedFileError, match="1,099,511,627,776 bytes, expected at most 100 bytes"):
        read_bytes(folder / "sparse", 100)


def test_replacing_follows_no_link(tmp_path, precious):
    for name in ("a.txt", ".a.tmp.txt"):
        (tmp_path / name).symlink_to(precious)
    write_text(tmp_path / "a.txt", "new")
    assert not (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "a.txt").read_text() == "new"
    (tmp_path / ".a.tmp.txt").symlink_to(precious)
    with replacing_path(tmp_path / "a.txt") as path:
        assert path.suffix == ".txt"
        path.write_text("newer")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "precious"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_appending_changes_no_other_file(tmp_path, precious):
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "twin").hardlink_to(precious)
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (("link", "is a link"), ("twin", "has hard links"), ("pipe", "is not a regular file")):
        with pytest.raises(InputError, match=problem):
            open_to_append(tmp_path / name)
    for word in (b"one", b"two"):
        with open_to_append(tmp_path / "file") as file:
            file.write(word)
    assert (tmp_path / "file").read_bytes() == b"onetwo"


def test_subfolders_are_no_links(tmp_path, precious):
    (tmp_path / "run").mkdir()
    (tmp_path / "named by the user").symlink_to(tmp_path / "run")
    assert subfolder(tmp_path / "named by the user", "a", "b", create=True).is_dir()
    (tmp_path / "run" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="link' is a link, expected a folder"):
        subfolder(tmp_path / "run", "link", "a", create=True)
    with pytest.raises(InputError, match="precious' is a file, expected a folder"):
        subfolder(tmp_path, "precious")
    with pytest.raises(FileNotFoundError):  # a run folder that was moved is not created again
        subfolder(tmp_path / "gone", "a", create=True)


def test_an_emptied_folder_takes_nothing_else_with_it(tmp_path, precious):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "films").symlink_to(tmp_path)
    (empty_folder(tmp_path / "run", "films") / "half.mp4").write_text("")
    assert list(empty_folder(tmp_path / "run", "films").iterdir()) == []


def test_a_folder_that_was_replaced_is_noticed(tmp_path):
    (tmp_path / "run").mkdir()
    folder = FixedFolder(tmp_path / "run")
    folder.check()
    (tmp_path / "run").rmdir()
    with pytest.raises(InputError, match="moved, deleted or replaced"):
        folder.check()
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="moved, deleted or replaced"):
        folder.check()
    folder.close()


def test_no_file_is_synchronized_through_a_handle_for_reading(tmp_path, monkeypatch):
    """Windows refuses that."""
    real = os.fsync

    def like_windows(descriptor):
        writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        assert writable or os.path.isdir(f"/proc/self/fd/{descriptor}")
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", like_windows)
    write_text(tmp_path / "a", "b")
    with replacing_path(tmp_path / "c") as path:
        path.write_text("d")


def test_a_file_system_that_cannot_synchronize_folders_is_reported(tmp_path, monkeypatch):
    real = os.fsync

    def only_files(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with pytest.warns(GuaranteeWarning, match="can't synchronize folders"):
        write_text(tmp_path / "a", "b")
    assert (tmp_path / "a").read_text() == "b"
