"""What the networks need to know of Gymnasium spaces: keys, shapes, kinds, and the way there and back.

Algorithm.md section 1 says what an observation and an action are to the model. Here alone stands how an
environment's own values become that (`Spaces.encode_observation`) and how the policy's become the
environment's (`Spaces.decode_action`).

May import: nothing of Reverie; Gymnasium and NumPy. To support one more kind of space, add a case in `kinds`
and one in `saving`.

    features  what the networks know: images, numbers and classes, with their shapes
    kinds     which feature a space is, or why it is refused and what to do
    leaves    nested Dicts and Tuples as flat keys, and back
    values    observations and actions, there and back
    saving    spaces as JSON, and back
    spaces    what a user holds in the hand: an environment's two spaces with all of the above
"""

from reverie.spaces.features import DTYPES, Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError
from reverie.spaces.leaves import EVERYTHING, choose, matching, restrict
from reverie.spaces.spaces import Spaces

__all__ = [
    "DTYPES",
    "EVERYTHING",
    "Continuous",
    "Discrete",
    "Feature",
    "Image",
    "Spaces",
    "UnsupportedSpaceError",
    "choose",
    "matching",
    "restrict",
]
