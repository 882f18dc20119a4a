"""The range of a setting, declared with its field: `Annotated[int, Bound(1)]`. May import: nothing of Reverie."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

LARGEST_INT = 2**53  # integers up to here are exact as floats and in JSON
LARGEST_FLOAT = 3e38  # larger ones are infinite in float32


@dataclass(frozen=True)
class Bound:
    """An inclusive range of numbers."""

    low: float
    high: float | None = None

    def __str__(self) -> str:
        return f"at least {self.low}" if self.high is None else f"between {self.low} and {self.high}"

    def problem(self, value: float) -> str | None:
        """What `value` must be instead, or None if it is within the range."""
        if not self.low <= value or (self.high is not None and not value <= self.high):
            return str(self)
        return f"at most 2^53 ({LARGEST_INT})" if isinstance(value, int) and value > LARGEST_INT else None


def bound_of(hint: Any) -> Bound | None:
    """The bound among a field's annotations, also in one of a union's members; None if it has none."""
    if get_origin(hint) is Annotated:
        return next((one for one in get_args(hint)[1:] if isinstance(one, Bound)), None)
    return next((bound for member in get_args(hint) if (bound := bound_of(member))), None)


def is_finite(value: float) -> bool:
    """Whether float32 can hold a number: false for infinity, NaN and numbers beyond its range."""
    return abs(value) <= LARGEST_FLOAT
