"""Pure functions, one per equation. May import: JAX only."""

from reverie.ops.means import means
from reverie.ops.returns import lambda_return
from reverie.ops.scale import ReturnScale
from reverie.ops.symlog import symexp, symlog
from reverie.ops.two_hot import decode_two_hot, neighbours, symexp_bins, two_hot, two_hot_loss

__all__ = [
    "ReturnScale",
    "decode_two_hot",
    "lambda_return",
    "means",
    "neighbours",
    "symexp",
    "symexp_bins",
    "symlog",
    "two_hot",
    "two_hot_loss",
]
