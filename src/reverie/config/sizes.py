"""The published model sizes (section 2), as widths of the networks. May import: nothing of Reverie."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

Size = Literal["size1m", "size12m", "size25m", "size50m", "size100m", "size200m", "size400m"]


def _size(deter: int, hidden: int, classes: int, depth: int, units: int) -> Mapping[str, int]:
    return MappingProxyType({"deter": deter, "hidden": hidden, "classes": classes, "depth": depth, "units": units})


WIDTHS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "size1m": _size(512, 64, 4, 4, 64),
        "size12m": _size(2048, 256, 16, 16, 256),
        "size25m": _size(3072, 384, 24, 24, 384),
        "size50m": _size(4096, 512, 32, 32, 512),
        "size100m": _size(6144, 768, 48, 48, 768),
        "size200m": _size(8192, 1024, 64, 64, 1024),
        "size400m": _size(12288, 1536, 96, 96, 1536),
    }
)
"""The settings under `model` that each size sets. Names give the approximate number of parameters."""
