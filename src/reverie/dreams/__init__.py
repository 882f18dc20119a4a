"""Dreams: what an agent's world model imagines, looked at from outside.

May import: `agent` and below, `replay`.

    dreamer  a run's newest checkpoint, opened: its agent, and moments to begin from
    player   from a real moment on, step by step, with any actions, and back again
    moments  real moments of a run, read from its newest checkpoint
    scene    what the agent makes of one state, compiled
    actions  those that come from outside, checked
"""

from reverie.dreams.dreamer import Dreamer
from reverie.dreams.moments import Moment
from reverie.dreams.player import Dream, State, Truth
from reverie.dreams.scene import Scene

__all__ = ["Dream", "Dreamer", "Moment", "Scene", "State", "Truth"]
