"""What the world model dreams, for people to see. May import: `agent` and below, `replay`.

open_loop  half of a replayed sequence is seen, the rest dreamed from the actions alone; how far off it is
film       that, of images: what happened, what was dreamed and the difference, above each other
lines      that, of numbers, reward and continuing: curves side by side
album      a run's folder of them: what is drawn, and what is kept
"""

from reverie.dreams.album import Album
from reverie.dreams.open_loop import HORIZONS, OpenLoop, open_loop

__all__ = ["HORIZONS", "Album", "OpenLoop", "open_loop"]
