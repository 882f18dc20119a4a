"""Reads and writes single files in a folder that someone else may have prepared. May import: `errors`.

A run folder can come from a colleague or a download. Below its top folder, nothing here follows a symbolic link, opens
anything but a regular file, or reads more than the caller allows. New contents are written to a temporary file that
replaces the old one once it is on disk, so a file is always complete.
"""

import errno
import os
import shutil
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from reverie.errors import InputError

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
# O_NONBLOCK: opening a named pipe must not wait for its other end. O_BINARY: Windows would translate line ends.
_ALWAYS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CANNOT_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM}


class DamagedFileError(InputError):
    """A file is missing, is not what was written, or is of another kind; the message names the file."""


class GuaranteeWarning(UserWarning):
    """The file system lacks something that Reverie's guarantees rest on; the message says which one is lost."""


def open_to_read(path: Path, largest: int) -> BinaryIO:
    """Open a regular file of at most `largest` bytes.

    Raises:
        DamagedFileError: it is missing, a link, not a regular file, or larger.
        OSError: the system refuses to open it.
    """
    if path.is_symlink():  # for systems without O_NOFOLLOW
        raise DamagedFileError(f"'{path}' is a link; only regular files are read from a run folder.")
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINKS | _ALWAYS)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedFileError(f"'{path}' can't be read: {error.strerror}.") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= largest:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise DamagedFileError(f"'{path}' can't be read: it is not a regular file.")
    raise DamagedFileError(f"'{path}' can't be read: {status.st_size:,} bytes, expected at most {largest:,} bytes.")


def read_bytes(path: Path, largest: int) -> bytes:
    """The contents of a regular file of at most `largest` bytes; raises what `open_to_read` does."""
    with open_to_read(path, largest) as file:
        return file.read(largest)


def open_to_append(path: Path) -> BinaryIO:
    """Open a regular file for reading and appending, and create it if it is missing.

    Raises:
        InputError: the path is a link, not a regular file, or a file that has other names (hard links) as well.
        OSError: the system refuses to open it.
    """
    if path.is_symlink():
        raise InputError(f"'{path}' is a link, and writing to it would change another file. Delete the link.")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _NO_LINKS | _ALWAYS, 0o666)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        problem = "has hard links elsewhere" if stat.S_ISREG(status.st_mode) else "is not a regular file"
        raise InputError(f"'{path}' {problem}, so nothing is appended to it. Delete it.")
    return os.fdopen(descriptor, "a+b")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file to write to, which takes the place of `path` once its contents are on disk.

    If anything fails, what was at `path` stays. The new file has the permissions that the umask gives. A link at `path`
    is replaced, not followed.
    """
    with _replacement(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS | _ALWAYS, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)  # here, because Windows can't synchronize a file that is open for reading


@contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """Like `replacing`, for writers that open the file themselves: yields a path with the suffix of `path`."""
    with _replacement(path) as temporary:
        yield temporary
        descriptor = os.open(temporary, os.O_RDWR | _NO_LINKS | _ALWAYS)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """The name of a temporary file next to `path`, where nothing is, and which replaces `path` at the end."""
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    temporary.unlink(missing_ok=True)  # of a process that was killed, or a link
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, completely or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def subfolder(root: Path, *names: str, create: bool = False) -> Path:
    """The folder `root/name/…`, in which no name below `root` is a link.

    Args:
        root: a folder whose place the user chose; it may be a link, and must exist to create folders in it.
        names: folders inside of each other, from the outside inwards.
        create: whether to create what is missing.

    Raises:
        InputError: a name is a link or a file.
        OSError: a folder can't be created.
    """
    path = root
    for name in names:
        path = path / name
        if create:
            with suppress(FileExistsError):
                path.mkdir()
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            kind = "a link" if path.is_symlink() else "a file"
            raise InputError(f"'{path}' is {kind}, expected a folder. Remove it, or copy what it leads to there.")
    return path


def empty_folder(root: Path, *names: str) -> Path:
    """A new, empty folder `root/name/…`; a folder, file or link of this name is removed, but no link followed."""
    path = subfolder(root, *names[:-1], create=True) / names[-1]
    remove(path)
    path.mkdir()
    return path


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to), or a folder with its contents; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class FixedFolder:
    """A folder that is recognized again, so that nothing is written to another one that took its place.

    Raises:
        OSError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # While it is open, no other folder can have its number. Windows can't open folders, but can't move one that
        # is in use either.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY) if hasattr(os, "O_DIRECTORY") else None
        self._status = os.stat(path if self._descriptor is None else self._descriptor)

    def check(self) -> None:
        """Raise an InputError if the folder is no longer at its path."""
        with suppress(FileNotFoundError, NotADirectoryError):
            if os.path.samestat(os.stat(self.path), self._status):
                return
        raise InputError(
            f"'{self.path}' was moved, deleted or replaced while in use; nothing more is written there. "
            "Stop the run, and resume it from where the folder is now."
        )

    def close(self) -> None:
        """Release the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _sync_folder(path: Path) -> None:
    """Bring a folder's entries to disk, where the system can."""
    if os.name != "posix":
        return  # only files can be synchronized there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
        warnings.warn(
            f"The file system of '{path}' can't synchronize folders ({error.strerror}): after a power failure the "
            "newest files may be missing.",
            GuaranteeWarning,
            stacklevel=2,
        )
    finally:
        os.close(descriptor)
