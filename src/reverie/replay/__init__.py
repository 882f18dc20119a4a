"""Experience in, batches of sequences out (Section 5 of the algorithm document).

May import: `experience`.

    replay   what a user holds in the hand: add, sample, write latents back, save and restore
    online   what was collected last and must be trained on once, first
    streams  what is held: the newest records of every environment, wherever they are kept
    host     kept in memory, or in a file mapped into it
    device   kept where the model is
    excerpt  a stretch of a saved replay, without the rest
    layout   what one record looks like, and the words that say so when another one arrives
"""

from reverie.replay.excerpt import Excerpt, excerpt
from reverie.replay.replay import Home, Replay, Rows, Sample
from reverie.replay.streams import saved_counters

__all__ = ["Excerpt", "Home", "Replay", "Rows", "Sample", "excerpt", "saved_counters"]
