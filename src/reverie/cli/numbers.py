"""How numbers are written on the command line. May import: nothing of Reverie."""

from math import nan
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec, PrimitiveTypeInfo


def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The way to read a flag of type int, where 1e6 is an integer too, or float; None for other types."""
    for kind, read in ((int, _integer), (float, _float)):
        if info.type in (kind, kind | None):
            return PrimitiveConstructorSpec(1, kind.__name__.upper(), read, _is_number, lambda value: [str(value)])
    return None


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _integer(words: list[str]) -> int:
    try:
        return int(words[0])
    except ValueError:
        pass
    try:
        value = float(words[0])
    except ValueError:
        value = nan
    if not value.is_integer():
        raise ValueError(f"expected an integer, got {words[0]!r}")
    return int(value)


def _float(words: list[str]) -> float:
    try:
        return float(words[0])
    except ValueError:
        raise ValueError(f"expected a number, got {words[0]!r}") from None
