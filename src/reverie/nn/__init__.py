"""Layers (docs/algorithm.md, section 2). Every leaf of a module is a float32 parameter.

May import: `ops` and Equinox.
"""

from reverie.nn.block_linear import BlockLinear
from reverie.nn.conv import Conv, UpsampleConv, max_pool
from reverie.nn.convolve import map_frames, plain_convolutions
from reverie.nn.linear import Linear
from reverie.nn.norm import RMSNorm
from reverie.nn.precision import compute_cast
from reverie.nn.trunk import Trunk, TrunkLayer

__all__ = [
    "BlockLinear",
    "Conv",
    "Linear",
    "RMSNorm",
    "Trunk",
    "TrunkLayer",
    "UpsampleConv",
    "compute_cast",
    "map_frames",
    "max_pool",
    "plain_convolutions",
]
