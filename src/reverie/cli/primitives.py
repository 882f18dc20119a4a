"""How numbers and choices are written on the command line. May import: nothing of Reverie."""

from math import nan
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from tyro.constructors import PrimitiveConstructorSpec, PrimitiveTypeInfo


def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The way to read a flag of type int, where 1e6 is an integer too, or float; None for other types."""
    for kind, read in ((int, _integer), (float, _float)):
        if info.type in (kind, kind | None):
            return PrimitiveConstructorSpec(1, kind.__name__.upper(), read, _is_number, lambda value: [str(value)])
    return None


def choice(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The way to read an optional flag that is one of a few words, in their order; None for other types."""
    members = [one for one in get_args(info.type) if one is not NoneType]
    if len(members) != 1 or get_origin(members[0]) is not Literal:
        return None
    words: tuple[str, ...] = get_args(members[0])
    shown = f"{{{','.join(words)}}}"
    return PrimitiveConstructorSpec(
        1, shown, lambda given: given[0], lambda value: value in (None, *words), lambda value: [str(value)], words
    )


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
