"""Checkpoints: each is a list of array files, consistent with each other, written in the background.

    checkpoints/000000012345.json   what belongs to it: counters, and name, length and checksum of every file
    checkpoints/arrays/             the files, shared between checkpoints where a part has not changed

A checkpoint exists from the moment when its list stands in its place, and until then the one before is the newest. A
save costs what has changed since the last one.

May import: `errors` and the rest of this room.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from reverie.storage.arrays import (
    Arrays,
    DamagedFileError,
    read_arrays,
    read_slices,
    write_arrays,
    write_text,
)

IN_FLIGHT = 2**30  # bytes copied and not yet written, beyond which `save` waits
LARGEST_LIST = 2**26  # bytes; a list of files is far shorter
FILE_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*\.safetensors")


Result = TypeVar("Result")


class Part(NamedTuple):
    """Arrays of a checkpoint that change together."""

    version: int | None  # the same as in the last checkpoint: not written again. None: always written
    copy: Callable[[], Arrays]  # called at once; the arrays must be its own


class _File(NamedTuple):
    name: str
    bytes: int
    digest: str


@dataclass(frozen=True)
class Checkpoint:
    """A saved checkpoint, whose files have been seen, but not read."""

    count: int
    meta: dict[str, Any]  # in JSON's types
    folder: Path
    files: dict[str, _File]

    def read(self, part: str) -> Arrays:
        """A part's arrays; a DamagedFileError if they are not those that were written."""
        path, checksum = self._file(part)
        return read_arrays(path, checksum)

    def read_slices(self, part: str, index: tuple[int | slice, ...]) -> Arrays:
        """What a part's arrays have at `index`, without reading the rest and so without checking the checksum."""
        return read_slices(self._file(part)[0], index)

    def _file(self, part: str) -> tuple[Path, str]:
        if part not in self.files:
            raise DamagedFileError(f"{self.folder / _list_name(self.count)} is damaged: it lacks {part}.")
        file = self.files[part]
        return self.folder / "arrays" / file.name, file.digest


class Store:
    """The checkpoints in a folder. One process writes; any may read, at any time."""

    def __init__(self, folder: Path, keep: int = 2):
        self._folder, self._keep = folder, keep
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._written: dict[str, tuple[int | None, _File]] = {}  # part → version and file in the newest checkpoint
        self._saving: Future[None] | None = None
        self._problem: str | None = None

    @property
    def counts(self) -> list[int]:
        """Of all checkpoints that are there, the newest first."""
        return sorted((int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdigit()), reverse=True)

    def problem(self) -> str | None:
        """What kept the last save from being finished; told once."""
        problem, self._problem = self._problem, None
        return problem

    def save(self, count: int, meta: Mapping[str, Any], parts: Mapping[str, Part], *, wait: bool = False) -> bool:
        """Copy what has changed and write it in the background; with `wait`, until it is on disk.

        Beyond `IN_FLIGHT` bytes of copies it waits for those before to be written.

        Returns:
            False where the save before is not finished yet: then nothing is done, and a later call does more.
        """
        if wait:
            self.wait()
        elif self._saving is not None and not self._saving.done():
            return False
        copied = json.loads(json.dumps(meta))  # as it will be read; what JSON can't hold is an error now
        waiting: list[tuple[str, int | None, Future[_File]]] = []
        kept = {}
        in_flight: list[tuple[Future[_File], int]] = []
        for name, part in parts.items():
            if part.version is not None and (known := self._written.get(name)) and known[0] == part.version:
                kept[name] = known
                continue
            arrays = part.copy()
            size = sum(x.nbytes for x in arrays.values())
            while in_flight and sum(n for _, n in in_flight) + size > IN_FLIGHT:
                in_flight.pop(0)[0].exception()  # waits; what went wrong is for _finish to say
            future = self._thread.submit(self._write, f"{name}-{count:012d}.safetensors", arrays)
            in_flight.append((future, size))
            waiting.append((name, part.version, future))
        self._saving = self._thread.submit(self._finish, count, copied, kept, waiting)
        if wait:
            self.wait()
        return True

    def wait(self) -> None:
        """Until what was begun is on disk, or has failed."""
        if self._saving is not None:
            self._saving.result()

    def close(self) -> None:
        """Finish what was begun."""
        self._thread.shutdown(wait=True)

    def load(self, count: int) -> Checkpoint:
        """A checkpoint by its count.

        Raises:
            DamagedFileError: its list makes no sense, or a file is missing or has another length.
            OSError: the system can't read its list.
        """
        path = self._folder / _list_name(count)
        try:
            if path.stat().st_size > LARGEST_LIST:
                raise ValueError(f"{path.stat().st_size:,} bytes are too many")
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("digest") != _digest(data):
                raise ValueError("its checksum is another one")
            files = {str(part): _File(*entry) for part, entry in data["files"].items()}
            checkpoint = Checkpoint(count, dict(data["meta"]), self._folder, files)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedFileError(f"{path} is damaged ({error or type(error).__name__}).") from error
        for file in files.values():
            self._check(path, file)
        return checkpoint

    def set_aside(self, count: int) -> None:
        """Rename a damaged checkpoint's list: it is no checkpoint any more, and the next save removes its files."""
        path = self._folder / _list_name(count)
        path.replace(path.with_suffix(".damaged"))

    def remember(self, checkpoint: Checkpoint, versions: Mapping[str, int]) -> None:
        """Parts that were read from this checkpoint, with these versions, need not be written again."""
        self._written = {name: (version, checkpoint.files[name]) for name, version in versions.items()}

    def _check(self, path: Path, file: _File) -> None:
        """Its name stays in the folder, and it is there in full length."""
        if not isinstance(file.name, str) or not FILE_NAME.fullmatch(file.name):
            raise DamagedFileError(f"{path} names a file that can't be one of its own: {file.name!r}.")
        arrays = self._folder / "arrays" / file.name
        size = arrays.stat().st_size if arrays.is_file() and not arrays.is_symlink() else None
        if size != file.bytes:
            found = "missing" if size is None else f"{size:,} bytes long"
            raise DamagedFileError(f"{arrays} is {found}, expected {file.bytes:,} bytes.")

    def _write(self, name: str, arrays: Arrays) -> _File:
        path = self._folder / "arrays" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        checksum = write_arrays(path, arrays)
        return _File(name, path.stat().st_size, checksum)

    def _finish(
        self,
        count: int,
        meta: dict[str, Any],
        kept: dict[str, tuple[int | None, _File]],
        waiting: list[tuple[str, int | None, "Future[_File]"]],
    ) -> None:
        """In the background: the list, when all files are there. A failure leaves everything as it was."""
        try:
            parts = kept | {name: (version, future.result()) for name, version, future in waiting}
            data = {"meta": meta, "files": {name: list(file) for name, (_, file) in parts.items()}}
            write_text(self._folder / _list_name(count), json.dumps(data | {"digest": _digest(data)}))
            self._written = parts
        except Exception as error:  # nobody waits for this thread, so what went wrong must be kept to be told
            self._problem = f"checkpoint {count} could not be written ({error}); the one before stays the newest."
        try:
            for old in self.counts[self._keep :]:
                (self._folder / _list_name(old)).unlink()
            self._prune()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a list that can't be read
            self._problem = self._problem or f"old checkpoints could not be removed ({error})."

    def _prune(self) -> None:
        """Remove files that no checkpoint names: of old ones, and of saves that were not finished."""
        named = {name for count in self.counts for name in _names(self._folder / _list_name(count))}
        for path in (self._folder / "arrays").iterdir():
            if path.name not in named:
                path.unlink()


def read_newest(
    store: Store, read: Callable[[Checkpoint], Result], damaged: Callable[[int, str], None]
) -> Result | None:
    """What `read` makes of the newest checkpoint that it can read, or None; `damaged` hears of those that it can't.

    Another process may write meanwhile, and remove what this one was about to read; then there is a newer one.
    """
    tried: set[int] = set()
    while left := [count for count in store.counts if count not in tried]:
        try:
            return read(store.load(left[0]))
        except DamagedFileError as error:
            tried.add(left[0])
            if left[0] in store.counts:
                damaged(left[0], str(error))
    return None


def _names(path: Path) -> Iterator[str]:
    yield from (name for name, *_ in json.loads(path.read_text(encoding="utf-8"))["files"].values())


def _list_name(count: int) -> str:
    return f"{count:012d}.json"


def _digest(data: Any) -> str:
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=16).hexdigest()
