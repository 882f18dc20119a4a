"""Saves checkpoints in the background and finds them again. May import: `errors` and the rest of this room.

A save costs what has changed since the last one: the files of unchanged parts are shared. Until the manifest of a
checkpoint is written, the one before it is the newest.
"""

import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from reverie.errors import InputError
from reverie.storage.arrays import Arrays, write_arrays
from reverie.storage.documents import as_json
from reverie.storage.files import DamagedFileError, subfolder
from reverie.storage.manifests import (
    BEST,
    ArrayFile,
    Checkpoint,
    counts,
    listed_files,
    manifest_name,
    read_manifest,
    write_manifest,
)

IN_FLIGHT = 2**30  # bytes copied and not yet written, beyond which `save` waits

# The files that saves write, also unfinished ones. Nothing else in the folder is ever removed.
_OWN_NAME = re.compile(r"\.?[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*-[0-9]{12,}(\.tmp)?\.safetensors")

Result = TypeVar("Result")


class Part(NamedTuple):
    """Arrays of a checkpoint that change together."""

    version: int | None  # equal to the last checkpoint's: not written again. None: always written
    copy: Callable[[], Arrays]  # called by `save`; returns arrays that nobody else changes


class _Pending(NamedTuple):
    """A part that is being written."""

    name: str
    version: int | None
    file: "Future[ArrayFile]"


def _no_check() -> None:
    """The folder can't be mistaken for another one."""


class Store:
    """The checkpoints in a folder. One process writes; any process may read at any time.

    Args:
        folder: where the manifests are; created by the first save. Its parent must exist.
        keep: how many of the newest checkpoints are kept.
        best: the parts that are kept of the checkpoint with the best score.
        check: called before each write; raises if the folder must not be written to.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 2,
        *,
        best: tuple[str, ...] = (),
        check: Callable[[], None] = _no_check,
    ) -> None:
        self._folder, self._keep, self._best_parts, self._check = folder, keep, best, check
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._written: dict[str, tuple[int | None, ArrayFile]] = {}  # part → version and file in the newest checkpoint
        self._saving: Future[None] | None = None
        self._problem: str | None = None
        self._failure: str | None = None

    @property
    def counts(self) -> list[int]:
        """The counts of all checkpoints, the newest first."""
        return counts(self._folder)

    def problem(self) -> str | None:
        """What went wrong in the last save; returned once."""
        problem, self._problem = self._problem, None
        return problem

    @property
    def failure(self) -> str | None:
        """Why the last checkpoint passed to `save` is not on disk; None if it is. Call `wait` first."""
        return self._failure

    def save(
        self,
        count: int,
        meta: Mapping[str, Any],
        parts: Mapping[str, Part],
        *,
        wait: bool = False,
    ) -> bool:
        """Copy the parts that have changed, and write them in the background.

        Blocks while more than `IN_FLIGHT` bytes of copies are waiting to be written.

        Args:
            count: what checkpoints are ordered by.
            meta: values in JSON's types to save with the parts.
            parts: everything that belongs to the checkpoint, by name.
            wait: block until the checkpoint is on disk, or has failed.

        Returns:
            Whether the save was started. Without `wait`, it is not while the last one is running.

        Raises:
            ValueError, TypeError: JSON can't hold `meta`.
        """
        if wait:
            self.wait()
        elif self._saving is not None and not self._saving.done():
            return False
        copied = json.loads(as_json(meta))  # raises now; later changes of `meta` don't reach the file
        self._failure = f"checkpoint {count} is not written yet"
        pending: list[_Pending] = []
        kept = {}
        in_flight: list[tuple[Future[ArrayFile], int]] = []
        for name, part in parts.items():
            if part.version is not None and (known := self._written.get(name)) and known[0] == part.version:
                kept[name] = known
                continue
            arrays = part.copy()
            size = sum(x.nbytes for x in arrays.values())
            while in_flight and sum(n for _, n in in_flight) + size > IN_FLIGHT:
                in_flight.pop(0)[0].exception()  # waits; `_finish` reports what went wrong
            future = self._thread.submit(self._write, f"{name}-{count:012d}.safetensors", arrays)
            in_flight.append((future, size))
            pending.append(_Pending(name, part.version, future))
        self._saving = self._thread.submit(self._finish, count, copied, kept, pending)
        if wait:
            self.wait()
        return True

    def mark_best(self, count: int, score: float) -> None:
        """Keep the `best` parts of a saved checkpoint if its score is the highest so far; blocks until that is done."""
        self.wait()
        self._saving = self._thread.submit(self._mark_best, count, score)
        self.wait()

    def wait(self) -> None:
        """Block until the last save has succeeded or failed."""
        if self._saving is not None:
            self._saving.result()

    def close(self) -> None:
        """Finish the running save."""
        self._thread.shutdown(wait=True)

    def load(self, count: int) -> Checkpoint:
        """The checkpoint with this count.

        Raises:
            DamagedFileError: its manifest is damaged, or a file is missing or has another length.
            OSError: the system can't read its manifest.
        """
        return read_manifest(self._folder, manifest_name(count))

    def best(self) -> Checkpoint | None:
        """The checkpoint with the best score, with nothing but its `best` parts; None if none was scored.

        Raises: what `load` does.
        """
        return read_manifest(self._folder, BEST) if (self._folder / BEST).exists() else None

    def set_aside(self, count: int) -> None:
        """Rename the manifest of a damaged checkpoint, so that it is passed over; the next save removes its files."""
        self._check()
        path = subfolder(self._folder.parent, self._folder.name) / manifest_name(count)
        path.replace(path.with_suffix(".damaged"))

    def remember(self, checkpoint: Checkpoint, versions: Mapping[str, int]) -> None:
        """Do not write these parts again until their versions change: they were read from this checkpoint."""
        self._written = {name: (version, checkpoint.files[name]) for name, version in versions.items()}

    def _write(self, name: str, arrays: Arrays) -> ArrayFile:
        self._check()
        path = subfolder(self._folder.parent, self._folder.name, "arrays", create=True) / name
        checksum = write_arrays(path, arrays)
        return ArrayFile(name, path.stat().st_size, checksum)

    def _finish(
        self,
        count: int,
        meta: dict[str, Any],
        kept: dict[str, tuple[int | None, ArrayFile]],
        pending: list[_Pending],
    ) -> None:
        """Write the manifest once all files are written. If something fails, the last checkpoint stays as it is."""
        try:
            parts = kept | {part.name: (part.version, part.file.result()) for part in pending}
            self._check()
            subfolder(self._folder.parent, self._folder.name, "arrays", create=True)
            files = {name: list(file) for name, (_, file) in parts.items()}
            fields: dict[str, Any] = {"count": count, "meta": meta, "files": files}
            write_manifest(self._folder, manifest_name(count), fields)
            self._written, self._failure = parts, None
        except Exception as error:  # nobody looks at this thread's exceptions, so `problem` reports them
            self._failure = f"checkpoint {count} could not be written ({error})"
            self._problem = f"{self._failure}; the one before it is still the newest."
        try:
            self._check()
            for old in self.counts[self._keep :]:
                path = self._folder / manifest_name(old)
                if path.is_dir() and not path.is_symlink():  # not ours, so it is not removed
                    self.set_aside(old)
                else:
                    path.unlink()
            self._prune()
        except (OSError, InputError) as error:
            self._problem = self._problem or f"old checkpoints could not be removed ({error})."

    def _mark_best(self, count: int, score: float) -> None:
        try:
            self._check()
            if not self.beats_best(score):
                return
            checkpoint = self.load(count)
            files = {name: list(checkpoint.files[name]) for name in self._best_parts}
            fields = {"count": count, "score": score, "meta": checkpoint.meta, "files": files}
            write_manifest(self._folder, BEST, fields)
        except Exception as error:
            self._problem = f"the best checkpoint could not be written ({error})."

    def beats_best(self, score: float) -> bool:
        """Whether a score is higher than that of the best checkpoint."""
        best = self._scored()
        return best is None or best.score is None or score > best.score

    def _scored(self) -> Checkpoint | None:
        """The best checkpoint; None also if it is damaged, so that a new one replaces it."""
        try:
            return self.best()
        except DamagedFileError:
            return None

    def _prune(self) -> None:
        """Remove files that no manifest lists: those of old checkpoints, and of saves that failed."""
        manifests = [manifest_name(count) for count in self.counts]
        listed = {name for manifest in manifests for name in listed_files(self._folder, manifest)}
        if (best := self._scored()) is not None:
            listed |= {file.name for file in best.files.values()}
        arrays = subfolder(self._folder.parent, self._folder.name, "arrays")
        for path in arrays.iterdir() if arrays.is_dir() else ():
            if path.name not in listed and _OWN_NAME.fullmatch(path.name) and not path.is_dir():
                path.unlink()


def read_newest(
    store: Store, read: Callable[[Checkpoint], Result], damaged: Callable[[int, str], None]
) -> Result | None:
    """The result of `read` for the newest checkpoint that it can read, or None if there is none.

    Another process may save meanwhile and remove what is being read here; then there is a newer checkpoint.

    Args:
        store: where the checkpoints are.
        read: raises a DamagedFileError for a checkpoint that it can't read.
        damaged: called with the count of each such checkpoint, and what is wrong with it.
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
