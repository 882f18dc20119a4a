"""Experience in, batches of sequences out (Section 5 of the algorithm document).

May import: `experience`.

    streams  what is held: the newest records of every environment, in memory that grows with them
    online   what was collected last and must be trained on once, first
    replay   what a user holds in the hand: add, sample, write latents back, save and restore
    layout   what one record looks like, and the words that say so when another one arrives
"""

from reverie.replay.replay import Replay, Rows, Sample

__all__ = ["Replay", "Rows", "Sample"]
