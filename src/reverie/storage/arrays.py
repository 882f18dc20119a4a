"""Named arrays in a file and back, in the safetensors format: a header of names, shapes and dtypes, then raw numbers.

A file is written beside its place and moved there when it is on disk, so that it is whole or not there, whatever
happens. Nothing that is read is executed, and no more is allocated than the file is long.

May import: `errors`.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from reverie.errors import InputError

Arrays = dict[str, np.ndarray]

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
# Before the names of such arrays, stored as uint16: not every version of the library gives them back to NumPy.
_AS_BFLOAT16 = "bfloat16:"


class DamagedFileError(InputError):
    """A file is not what was written, or not what belongs there; the message names it."""


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write a file, and return the `digest` of its arrays.

    Raises:
        OSError: it can't be written, for instance for want of room. What was at `path` is still there.
    """
    arrays = {name: np.ascontiguousarray(x).reshape(x.shape) for name, x in arrays.items()}
    stored = {
        _AS_BFLOAT16 + name if x.dtype == _BFLOAT16 else name: x.view(np.uint16) if x.dtype == _BFLOAT16 else x
        for name, x in arrays.items()
    }
    with _replacing(path) as beside:
        try:
            save_file(stored, beside)
        except SafetensorError as error:
            raise OSError(f"{path} can't be written: {error}") from error
    return digest(arrays)


def read_arrays(path: Path, expected: str | None = None) -> Arrays:
    """The arrays that `write_arrays` wrote; `expected` is their digest.

    Raises:
        DamagedFileError: the file is missing, cut short, changed, or of another kind.
        OSError: the system can't read it.
    """
    try:
        stored = load_file(path)
    except (FileNotFoundError, SafetensorError, KeyError, ValueError) as error:
        raise DamagedFileError(f"{path} can't be read ({error}).") from error
    arrays = _as_written(stored, path)
    if expected is not None and digest(arrays) != expected:
        raise DamagedFileError(f"{path} was changed after it was written: its checksum is another one.")
    return arrays


def read_slices(path: Path, index: tuple[int | slice, ...]) -> Arrays:
    """What every array in the file has at `index`; no more is read, so no checksum can be checked.

    Raises:
        DamagedFileError: the file is missing, cut short, of another kind, or shorter than the index.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            stored = {name: file.get_slice(name)[index] for name in file.keys()}  # noqa: SIM118, it is no dict
    except (FileNotFoundError, SafetensorError, KeyError, ValueError) as error:
        raise DamagedFileError(f"{path} can't be read ({error}).") from error
    return _as_written(stored, path)


def _as_written(stored: Arrays, path: Path) -> Arrays:
    arrays = {}
    for name, x in stored.items():
        bare = name.removeprefix(_AS_BFLOAT16)
        if bare != name and x.dtype != np.uint16:
            raise DamagedFileError(f"{path} can't be read ({name} is {x.dtype}, expected uint16).")
        arrays[bare] = x.view(_BFLOAT16) if bare != name else x
    return arrays


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum of names, dtypes, shapes and numbers."""
    total = hashlib.blake2b(digest_size=16)
    for name, x in sorted(arrays.items()):
        total.update(f"{name} {x.dtype} {x.shape};".encode())
        total.update(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def write_text(path: Path, text: str) -> None:
    """The whole text or nothing, whatever happens in between."""
    with _replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once its contents are on disk."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        yield beside
        _sync(beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # only files can be synchronised there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
