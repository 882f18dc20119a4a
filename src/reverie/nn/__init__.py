"""Layers (section 2). May import: `ops` and Equinox. Every leaf of a module is a float32 parameter."""

from reverie.nn import columns
from reverie.nn.block_linear import BlockLinear
from reverie.nn.conv import Conv, UpsampleConv, map_frames, max_pool
from reverie.nn.linear import Linear
from reverie.nn.norm import RMSNorm
from reverie.nn.platform import compiler_options, textbook, tuned_for_cpu
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
    "columns",
    "compiler_options",
    "compute_cast",
    "map_frames",
    "max_pool",
    "textbook",
    "tuned_for_cpu",
]
