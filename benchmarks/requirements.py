"""Print the packages that Reverie and its parity tests need besides JAX, in the versions that are installed here.

    python -m benchmarks.requirements 3.12

Packages that JAX requires are left out, too: a machine with JAX has them. The argument is the Python version to assume.
"""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pinned(names: Iterable[str], python: str) -> list[str]:
    """Return 'name==version' of everything that the named packages require, JAX's own requirements excepted."""
    theirs = closure(["jax"], python)
    return [f"{name}=={version(name)}" for name in sorted(closure(names, python) - theirs - {"reverie"})]


def closure(names: Iterable[str], python: str) -> set[str]:
    """Return the named packages and all that they require, without extras."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        needed = map(Requirement, requires(name) or ())
        waiting += [canonicalize_name(one.name) for one in needed if not one.marker or one.marker.evaluate(environment)]
    return found


if __name__ == "__main__":
    try:
        print(*pinned(["reverie", "pytest"], sys.argv[1]), sep="\n")
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed; install Reverie with: pip install -e '.[test]'") from error
