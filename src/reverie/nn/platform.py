"""The one place where a platform decides how something is computed and compiled; what comes out is the same everywhere.

Some things have two forms: the textbook's, and one that a CPU computes faster (examples in columns, convolutions as
products of blocks, weight gradients after a recurrence). Each tuned form stands in a module of its own, and tests hold
it to the textbook's.

May import: JAX only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_textbook = ContextVar("textbook", default=False)


def tuned_for_cpu() -> bool:
    """Whether layers should take their CPU form. Asked while a function is traced, not while it runs."""
    return jax.default_backend() == "cpu" and not _textbook.get()


def in_textbook_form() -> bool:
    """Whether everything should be computed as the equations stand, however slowly."""
    return _textbook.get()


def compiler_options(*, once: bool = False) -> dict[str, str]:
    """For `jax.jit` of a large program, `once` if it is run a single time.

    On a CPU, LLVM's highest level makes an update a fifth slower to compile and no faster to run; numbers differ by
    rounding at most. A program that runs once is compiled in half the time on the lowest level that optimises.
    """
    if jax.default_backend() != "cpu":
        return {}
    return {"xla_backend_optimization_level": "1" if once else "2"}


@contextmanager
def textbook() -> Iterator[None]:
    """Functions traced inside take the textbook's form throughout: what tests and benchmarks compare with."""
    token = _textbook.set(True)
    try:
        yield
    finally:
        _textbook.reset(token)
