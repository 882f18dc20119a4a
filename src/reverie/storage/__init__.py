"""Files that are whole or not there, and that say when they are damaged. May import: `errors`.

arrays  named arrays to a file and back, checked; reading a file runs nothing that it says
trees   a tree's arrays by their paths, and back
store   checkpoints made of such files: written in the background, switched to at once, only what is new
"""

from reverie.storage.arrays import DamagedFileError, read_arrays, read_slices, write_arrays, write_text
from reverie.storage.store import Checkpoint, Part, Store, read_newest
from reverie.storage.trees import as_tree, copied

__all__ = [
    "Checkpoint",
    "DamagedFileError",
    "Part",
    "Store",
    "as_tree",
    "copied",
    "read_arrays",
    "read_newest",
    "read_slices",
    "write_arrays",
    "write_text",
]
