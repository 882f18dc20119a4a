"""Checkpoint manifests: the list of a checkpoint's files, with what else belongs to it. May import: this room.

    checkpoints/000000012345.json   the manifest: counters, and name, length and checksum of every file
    checkpoints/best.json           the same, of the checkpoint with the best evaluation score
    checkpoints/arrays/             the files, shared between checkpoints where a part has not changed

A checkpoint exists once its manifest is written.
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reverie.storage.arrays import Arrays, read_arrays, read_slices
from reverie.storage.documents import Document, Json, as_json, read_document
from reverie.storage.files import DamagedFileError, open_to_read, replacing, subfolder, write_text

BEST = "best.json"
_MANIFEST_NAME = re.compile(r"[0-9]{12,}\.json")
_ARRAY_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*\.safetensors")


class ArrayFile(NamedTuple):
    """A file of arrays, as a manifest lists it."""

    name: str
    bytes: int
    digest: str


@dataclass(frozen=True)
class Checkpoint:
    """A saved checkpoint whose files exist in full length; their contents have not been read yet.

    Attributes:
        count: what checkpoints are ordered by.
        meta: what was saved with the arrays, in JSON's types.
        folder: where the manifests are.
        files: the parts' files, by the parts' names.
        score: the evaluation score; None if there is none.
    """

    count: int
    meta: dict[str, Any]
    folder: Path
    files: dict[str, ArrayFile]
    score: float | None = None
    name: str = ""  # of the manifest

    @property
    def document(self) -> Document:
        """`meta`, to be checked value by value."""
        return Document(self.meta, self.folder / self.name, "meta")

    def read(self, part: str) -> Arrays:
        """The arrays of a part; a DamagedFileError if they are not the ones that were written."""
        file = self._file(part)
        return read_arrays(array_path(self.folder, file), file.digest)

    def read_slices(self, part: str, index: tuple[int | slice, ...]) -> Arrays:
        """What the arrays of a part have at `index`. Only that is read, so the checksum is not checked."""
        return read_slices(array_path(self.folder, self._file(part)), index)

    def _file(self, part: str) -> ArrayFile:
        if part not in self.files:
            raise DamagedFileError(f"'{self.folder / self.name}' is damaged: it lacks the part '{part}'.")
        return self.files[part]


def counts(folder: Path) -> list[int]:
    """The counts of all checkpoints in a folder, the newest first. Files with other names are passed over.

    What has the name of a manifest and is none, such as a link or a folder, counts too: it is a damaged checkpoint.
    """
    subfolder(folder.parent, folder.name)
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _MANIFEST_NAME.fullmatch(path.name)]
    return sorted({int(path.stem) for path in found if path.name == manifest_name(int(path.stem))}, reverse=True)


def manifest_name(count: int) -> str:
    """The file name of a checkpoint's manifest."""
    return f"{count:012d}.json"


def array_path(folder: Path, file: ArrayFile) -> Path:
    """Where a file of arrays is."""
    return subfolder(folder.parent, folder.name, "arrays") / file.name


def read_manifest(folder: Path, name: str) -> Checkpoint:
    """The checkpoint that a manifest describes.

    Raises:
        DamagedFileError: the manifest is damaged, or a file is missing or has another length.
        OSError: the system can't read the manifest.
    """
    subfolder(folder.parent, folder.name)
    document = read_document(folder / name)
    data = dict(document.mapping())
    if document["digest"].text() != _digest({key: x for key, x in data.items() if key != "digest"}):
        document.fail("has another checksum than the one in it")
    files = _files(document)
    for file in files.values():
        _check_length(folder, file)
    named = None if name == BEST else int(Path(name).stem)
    # Manifests of the first versions have no count, except for the best checkpoint's.
    count = named if named is not None and "count" not in document else document["count"].integer()
    if named not in (None, count):
        document["count"].expected(f"{named}, the number in the file's name")
    score = document["score"].number() if "score" in document else None
    return Checkpoint(count, document["meta"].mapping(), folder, files, score, name)


def listed_files(folder: Path, name: str) -> set[str]:
    """The names of the files that a manifest lists, whether they exist or not; raises what `read_manifest` does."""
    return {file.name for file in _files(read_document(folder / name)).values()}


def write_manifest(folder: Path, name: str, fields: dict[str, Json]) -> None:
    """Write a manifest with its checksum, completely or not at all."""
    write_text(folder / name, as_json(fields | {"digest": _digest(fields)}))


def copy_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Copy a checkpoint to another folder of checkpoints, completely or not at all: its manifest comes last.

    Raises:
        DamagedFileError: a file is missing or has another length. Its contents are checked when they are read.
        OSError: a file can't be copied.
    """
    arrays = subfolder(folder.parent, folder.name, "arrays", create=True)
    for file in checkpoint.files.values():
        original = array_path(checkpoint.folder, file)
        with open_to_read(original, file.bytes) as source, replacing(arrays / file.name) as copy:
            shutil.copyfileobj(source, copy)
    fields: dict[str, Any] = {"meta": checkpoint.meta}
    fields["files"] = {part: list(file) for part, file in checkpoint.files.items()}
    if checkpoint.name == BEST:
        fields |= {"count": checkpoint.count, "score": checkpoint.score}
    write_manifest(folder, checkpoint.name, fields)


def _files(manifest: Document) -> dict[str, ArrayFile]:
    return {part: _array_file(entry) for part, entry in manifest["files"].fields().items()}


def _array_file(entry: Document) -> ArrayFile:
    name, size, checksum = entry.elements(3)
    if not _ARRAY_NAME.fullmatch(name.text()):
        name.expected("the name of a file of arrays")
    return ArrayFile(name.text(), size.integer(), checksum.text())


def _check_length(folder: Path, file: ArrayFile) -> None:
    path = array_path(folder, file)
    size = path.stat().st_size if path.is_file() and not path.is_symlink() else None
    if size != file.bytes:
        found = "missing" if size is None else f"{size:,} bytes long"
        raise DamagedFileError(f"'{path}' is {found}, expected {file.bytes:,} bytes.")


def _digest(data: Json) -> str:
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=16).hexdigest()
