"""The translation between Gymnasium spaces and the networks: keys, shapes, kinds and values.

Algorithm.md section 1 defines what an observation and an action are to the model. This package is the only place that
converts an environment's values (`Spaces.encode_observation`) and the policy's actions (`Spaces.decode_action`).

May import: `errors`; Gymnasium and NumPy. To support another kind of space, add a case to `kinds` and one to `saving`.

    features  what the networks know: images, numbers and classes, with their shapes
    kinds     the feature for each kind of space, or an error that says how to fix it
    leaves    nested Dicts and Tuples as flat keys, and back
    masks     the observation that says which actions are allowed
    values    conversion of observations and actions
    traced    the same conversion inside compiled programs
    saving    spaces to JSON and back
    spaces    `Spaces`: the two spaces of an environment, with all of the above
"""

from reverie.spaces.features import DTYPES, Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError
from reverie.spaces.leaves import EVERYTHING, Leaf, by_array_name, choose, matching, nest, restrict
from reverie.spaces.masks import MASK, can_be_masked, masks
from reverie.spaces.spaces import Keys, Spaces

__all__ = [
    "DTYPES",
    "EVERYTHING",
    "MASK",
    "Continuous",
    "Discrete",
    "Feature",
    "Image",
    "Keys",
    "Leaf",
    "Spaces",
    "UnsupportedSpaceError",
    "by_array_name",
    "can_be_masked",
    "choose",
    "masks",
    "matching",
    "nest",
    "restrict",
]
