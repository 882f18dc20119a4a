"""Saves named arrays to a file and loads them again, in the safetensors format. May import: `errors` and this room.

The format is a header (JSON: the name, type, shape and place of each array) and then the raw numbers. Loading executes
nothing, allocates no more than the file is long, and can check a checksum.
"""

import hashlib
import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from reverie.storage.documents import Document, parse
from reverie.storage.files import DamagedFileError, open_to_read, replacing

Arrays = dict[str, np.ndarray]

LARGEST = 2**44  # bytes of a file
LARGEST_HEADER = 2**26  # bytes
MOST_AXES = 32  # of an array
_LENGTH = 8  # bytes of the header's length, which a file begins with

_NAMES = {
    np.dtype(name): code
    for name, code in (
        ("bool", "BOOL"),
        *((f"{kind}{bits}", f"{kind[0].upper()}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *((f"float{bits}", f"F{bits}") for bits in (16, 32, 64)),
    )
}
_DTYPES = {code: dtype for dtype, code in _NAMES.items()}
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
# The prefix of bfloat16 arrays, which are stored as uint16: not every reader of the format returns them to NumPy.
_AS_BFLOAT16 = "bfloat16:"


class _Entry(NamedTuple):
    """Where an array is in a file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int  # of the file's bytes
    stop: int


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write arrays to a file and return their `digest`.

    Raises:
        OSError: the file can't be written, for example because the disk is full. What was at `path` stays.
        TypeError: the format has no name for an array's dtype.
    """
    arrays = {name: np.ascontiguousarray(x).reshape(x.shape) for name, x in arrays.items()}
    stored = {
        _AS_BFLOAT16 + name if x.dtype == _BFLOAT16 else name: x.view(np.uint16) if x.dtype == _BFLOAT16 else x
        for name, x in arrays.items()
    }
    ordered = sorted(stored.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # aligned without gaps
    with replacing(path) as file:
        file.write(_header(ordered))
        for _, x in ordered:
            file.write(_bytes(x))
    return digest(arrays)


def _header(arrays: list[tuple[str, np.ndarray]]) -> bytes:
    entries, start = {}, 0
    for name, x in arrays:
        if x.dtype not in _NAMES:
            raise TypeError(f"'{name}' is an array of {x.dtype}, which can't be saved.")
        entries[name] = {"dtype": _NAMES[x.dtype], "shape": x.shape, "data_offsets": (start, start + x.nbytes)}
        start += x.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text


def read_arrays(path: Path, expected: str | None = None) -> Arrays:
    """The arrays in a file that `write_arrays` wrote.

    Args:
        path: of a regular file.
        expected: their `digest`, to be checked.

    Raises:
        DamagedFileError: the file is missing, a link, truncated, changed, or of another kind.
        OSError: the system can't read it.
    """
    with open_to_read(path, LARGEST) as file:
        stored = {}
        for name, entry in _entries(file, path).items():
            x = stored[name] = np.empty(entry.shape, entry.dtype)
            file.seek(entry.start)
            if file.readinto(_bytes(x)) != x.nbytes:  # type: ignore[attr-defined]  # BinaryIO lacks it
                raise DamagedFileError(f"'{path}' is damaged: it was truncated while being read.")
    arrays = _as_written(stored, path)
    if expected is not None and digest(arrays) != expected:
        raise DamagedFileError(f"'{path}' is damaged: its checksum does not match; it was changed after writing.")
    return arrays


def read_slices(path: Path, index: tuple[int | slice, ...]) -> Arrays:
    """What each array in a file has at `index`. Only that is read, so no checksum can be checked.

    Raises:
        DamagedFileError: the file is missing, a link, truncated, of another kind, or has no such index.
    """
    stored = {}
    with open_to_read(path, LARGEST) as file:
        entries = _entries(file, path)
        if not entries:
            return {}
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for name, (dtype, shape, start, _) in entries.items():
                _check_index(path, name, shape, index)
                if not math.prod(shape):
                    stored[name] = np.empty(shape, dtype)[index]
                    continue
                whole = np.frombuffer(mapped, dtype, math.prod(shape), start).reshape(shape)
                stored[name] = np.array(whole[index])
                del whole  # a mapped file can't be closed while an array shows it
    return _as_written(stored, path)


def _check_index(path: Path, name: str, shape: tuple[int, ...], index: tuple[int | slice, ...]) -> None:
    ends = [x.stop if isinstance(x, slice) else x + 1 for x in index]
    if len(ends) > len(shape) or any(end > size for end, size in zip(ends, shape, strict=False)):
        raise DamagedFileError(f"'{path}' is damaged: {name!r} has the shape {shape}, which has no index {index}.")


def _entries(file: BinaryIO, path: Path) -> dict[str, _Entry]:
    """The header of an open file, checked: the arrays fill the rest of the file without gaps or overlaps."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(_LENGTH), "little")
    if size < _LENGTH or length > min(LARGEST_HEADER, size - _LENGTH):
        raise DamagedFileError(f"'{path}' is damaged: its header is longer than the file, or there is none.")
    begin = _LENGTH + length
    header = parse(file.read(length), path)
    entries = {
        name: _entry(document, begin) for name, document in header.fields().items() if name != "__metadata__"
    }
    end = begin
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != end:
            header[name].fail(f"begins at byte {entry.start:,} of the file, expected {end:,}")
        end = entry.stop
    if end != size:
        raise DamagedFileError(f"'{path}' is damaged: {size:,} bytes long, expected {end:,}.")
    return entries


def _entry(document: Document, begin: int) -> _Entry:
    code = document["dtype"].text()
    if code not in _DTYPES:
        document["dtype"].expected(f"one of {', '.join(_DTYPES)}")
    shape = tuple(axis.integer() for axis in document["shape"].elements())
    start, stop = (begin + offset.integer() for offset in document["data_offsets"].elements(2))
    if len(shape) > MOST_AXES:
        document["shape"].expected(f"a list of at most {MOST_AXES} axes")
    if math.prod(shape) * _DTYPES[code].itemsize != stop - start:
        document.fail(f"has the shape {shape}, which does not fit {stop - start:,} bytes of {code}")
    return _Entry(_DTYPES[code], shape, start, stop)


def _as_written(stored: Arrays, path: Path) -> Arrays:
    """The arrays under the names and in the dtypes in which they were saved."""
    arrays = {}
    for name, x in stored.items():
        bare = name.removeprefix(_AS_BFLOAT16)
        if bare != name and x.dtype != np.uint16:
            raise DamagedFileError(f"'{path}' is damaged: {name!r} is {x.dtype}, expected uint16.")
        if x.dtype == bool and np.any(x.view(np.uint8) > 1):  # no code expects a third truth value
            raise DamagedFileError(f"'{path}' is damaged: {name!r} holds bytes that are no truth values.")
        arrays[bare] = x.view(_BFLOAT16) if bare != name else x
    return arrays


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum of the arrays' names, dtypes, shapes and values."""
    total = hashlib.blake2b(digest_size=16)
    for name, x in sorted(arrays.items()):
        total.update(f"{name} {x.dtype} {x.shape};".encode())
        total.update(_bytes(np.ascontiguousarray(x)))
    return total.hexdigest()


def _bytes(x: np.ndarray) -> memoryview:
    """The memory of a contiguous array."""
    return x.reshape(-1).view(np.uint8).data
