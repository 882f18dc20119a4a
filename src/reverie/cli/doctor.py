"""`reverie doctor`: what Reverie finds on this machine, and what to do about what is missing.

May import: everything below `cli`.
"""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version

from reverie import __version__
from reverie.cli.hardware import Finding, examine_devices, install_command
from reverie.errors import ReverieError

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium")
NOT_FOR_USERS = ("dev", "test")


class UnhealthyError(ReverieError):
    """Something that Reverie needs does not work."""


@dataclass(frozen=True)
class Doctor:
    """Check this installation: devices, speed, the compilation cache, and which extras are installed."""

    def __call__(self) -> None:
        problems = []
        for finding in examine():
            print(f"{finding.state:8} {finding.subject:18} {finding.text}", flush=True)
            if finding.state == "problem":
                problems.append(finding.subject)
        if problems:
            raise UnhealthyError(f"This installation has a problem with its {' and its '.join(problems)}; see above.")


def examine() -> Iterator[Finding]:
    """Everything that the command reports."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("ok", "reverie", __version__)
    yield Finding("ok", "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    yield from examine_devices()
    yield _cache()
    yield from _extras()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _cache() -> Finding:
    """Where compiled programs are cached, and how much there is."""
    from reverie.compiling import CACHE_SWITCH, use_cache
    from reverie.training.memory import in_units

    folder = use_cache()
    if folder is None:
        why = f"{CACHE_SWITCH} is 0" if os.environ.get(CACHE_SWITCH) == "0" else "this user has no home folder"
        return Finding("note", "compile cache", f"off, because {why}: every start compiles again")
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    size = f"{len(files)} files, {in_units(sum(files))}" if files else "empty"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("problem", "compile cache", f"'{folder}' is not writable; set XDG_CACHE_HOME to one that is")
    return Finding("ok", "compile cache", f"'{folder}': {size}; off with {CACHE_SWITCH}=0, safe to delete")


def _extras() -> Iterator[Finding]:
    """Every extra: installed, or how to install it."""
    try:
        found = distribution("reverie")
    except PackageNotFoundError:
        yield Finding("note", "extras", "unknown, as Reverie runs from its sources without being installed")
        return
    for extra, packages in sorted(needs(found).items()):
        missing = [name for name in packages if _version(name) == "missing"]
        text = f"{', '.join(missing)} missing: {install_command(extra)}" if missing else "installed"
        yield Finding("note" if missing else "ok", f"extra {extra}", text)


def needs(reverie: Distribution) -> dict[str, list[str]]:
    """The packages of each extra that is for users."""
    extras = set(reverie.metadata.get_all("Provides-Extra") or ()) - set(NOT_FOR_USERS)
    found: dict[str, list[str]] = {extra: [] for extra in extras}
    for requirement in reverie.requires or ():
        name, _, condition = requirement.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)", condition)
        if extra and extra[1] in extras:
            found[extra[1]].append(_package(name))
    return found


def _package(requirement: str) -> str:
    """The package that a requirement installs; for JAX with CUDA, the plugin that comes with it."""
    if requirement.startswith("jax[cuda12]"):
        return "jax-cuda12-plugin"
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]
