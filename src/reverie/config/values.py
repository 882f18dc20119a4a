"""Checks that a value fits the annotation of its setting. May import: `errors`, `bound`."""

from typing import Annotated, Any, Literal, get_args, get_origin

from reverie.config.bound import bound_of, is_finite
from reverie.errors import InputError

KINDS = {int: "an integer", float: "a number", bool: "true or false", str: "a text in UTF-8"}


def converted(hint: Any, value: Any, name: str) -> Any:
    """The value in exactly the setting's type: 1e6 becomes an integer, and 32 a float, where these are expected.

    Raises:
        InputError: the value has another type, or is outside of the setting's bound.
    """
    bound = bound_of(hint)
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    expected = _expected(kind, value) or (bound.problem(value) if bound else None)
    if expected:
        raise InputError(f"{name} must be {expected}, got {value!r}.")
    if get_origin(kind) is tuple:
        return tuple(map(get_args(kind)[0], value))
    return float(value) if kind is float else value


def _expected(kind: Any, value: Any) -> str | None:
    """What a setting of this kind expects instead of the value; None if the value is right."""
    if get_origin(kind) is Literal:
        fits = isinstance(value, str) and value in get_args(kind)
        return None if fits else f"one of {', '.join(map(repr, get_args(kind)))}"
    if kind is str:
        return None if _is_text(value) else KINDS[str]
    if kind == tuple[str, ...]:
        return None if isinstance(value, list | tuple) and all(map(_is_text, value)) else "a list of texts in UTF-8"
    if get_origin(kind) is tuple:
        count = len(get_args(kind))
        fits = isinstance(value, list | tuple) and len(value) == count
        fits = fits and all(_is_number(one) and is_finite(one) for one in value)
        return None if fits else f"a list of {count} finite numbers"
    if kind is float:
        fits = _is_number(value)
        return (None if is_finite(value) else "a finite number") if fits else KINDS[float]
    return None if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else KINDS[kind]


def _is_text(value: Any) -> bool:
    """Whether files can hold a value as text; names on the command line may be of bytes that are not UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
