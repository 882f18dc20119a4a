"""What the world model dreams, for people to see and to play in.

May import: `agent` and below, `replay`.

    open_loop  half of a replayed sequence is seen, the rest dreamed from the actions alone; how far off it is
    film       that, of images: what happened, what was dreamed and the difference, above each other
    lines      that, of numbers, reward and continuing: curves side by side
    album      a run's folder of them: what is drawn, and what is kept

    dreamer    a run's newest checkpoint, opened: its agent, and moments to begin from
    player     from a real moment on, step by step, with any actions, and back again
    moments    real moments of a run, read from its newest checkpoint
    scene      what the agent makes of one state, compiled
    actions    those that come from outside, checked
"""

from reverie.dreams.album import Album
from reverie.dreams.dreamer import Dreamer
from reverie.dreams.moments import Moment
from reverie.dreams.open_loop import HORIZONS, OpenLoop, open_loop
from reverie.dreams.player import Dream, State, Truth
from reverie.dreams.scene import Scene

__all__ = ["HORIZONS", "Album", "Dream", "Dreamer", "Moment", "OpenLoop", "Scene", "State", "Truth", "open_loop"]
