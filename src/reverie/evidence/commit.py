"""Which version of the code runs. May import: nothing of Reverie."""

import json
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

FOLDER = Path(__file__).parents[1]


def commit(folder: Path = FOLDER) -> str | None:
    """The commit of the code in this folder, with '+' if files differ from it; None if it is not known.

    Read from the Git repository that tracks the code, or from what pip recorded when it installed from one.
    """
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    if tracked is None:  # the folder may lie in a repository that has nothing to do with it
        return _installed_commit()
    found = _git(folder, "rev-parse", "--short=12", "HEAD")
    return f"{found}+" if found and _git(folder, "status", "--porcelain", "--", ".") else found


def _git(folder: Path, *arguments: str) -> str | None:
    """What Git prints; None if it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def _installed_commit() -> str | None:
    try:
        text = distribution("reverie").read_text("direct_url.json")
        return str(json.loads(text or "{}")["vcs_info"]["commit_id"])[:12]
    except (PackageNotFoundError, KeyError, TypeError, ValueError):
        return None
