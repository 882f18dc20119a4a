"""Files that are complete or absent, and readers that trust nothing. May import: `errors`.

files      open, read and replace single files, without following links
documents  JSON, checked value by value
arrays     named arrays in a file, with a checksum
trees      a tree's arrays by name
manifests  which files belong to a checkpoint
store      checkpoints: saved in the background, found again, removed when old
"""

from reverie.storage.arrays import read_arrays, read_slices, write_arrays
from reverie.storage.documents import Document, Json, as_json, parse, read_document, read_rows, row_as_json
from reverie.storage.files import (
    DamagedFileError,
    FixedFolder,
    GuaranteeWarning,
    empty_folder,
    open_to_append,
    open_to_read,
    read_bytes,
    remove,
    replacing,
    replacing_path,
    subfolder,
    write_text,
)
from reverie.storage.manifests import Checkpoint, copy_checkpoint, counts
from reverie.storage.store import Part, Store, read_newest
from reverie.storage.trees import as_tree, copied, leaves_by_name

__all__ = [
    "Checkpoint",
    "DamagedFileError",
    "Document",
    "FixedFolder",
    "GuaranteeWarning",
    "Json",
    "Part",
    "Store",
    "as_json",
    "as_tree",
    "copied",
    "copy_checkpoint",
    "counts",
    "empty_folder",
    "leaves_by_name",
    "open_to_append",
    "open_to_read",
    "parse",
    "read_arrays",
    "read_bytes",
    "read_document",
    "read_newest",
    "read_rows",
    "read_slices",
    "remove",
    "replacing",
    "replacing_path",
    "row_as_json",
    "subfolder",
    "write_arrays",
    "write_text",
]
