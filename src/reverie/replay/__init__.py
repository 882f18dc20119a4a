"""The replay buffer: experience in, batches of sequences out (section 5 of the algorithm document).

May import: `experience`, `storage`.

    replay     `Replay`: add, sample, write latents back, save and restore
    online     the queue of new sequences, each of which is trained on once
    streams    the newest records of every environment, counted
    host       streams in host memory, or in a memory-mapped file
    device     streams in device memory
    saved      the state of a saved buffer, checked
    excerpt    neighboring records of a saved buffer
    recording  all records of a run, as arrays or episodes
    layout     names, shapes and dtypes of one record
"""

from reverie.replay.excerpt import Excerpt, excerpt
from reverie.replay.recording import read_run, split_episodes
from reverie.replay.replay import Home, Replay, Rows, Sample
from reverie.replay.saved import SavedReplay

__all__ = ["Excerpt", "Home", "Replay", "Rows", "Sample", "SavedReplay", "excerpt", "read_run", "split_episodes"]
