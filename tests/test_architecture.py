"""Who may import whom: reads the imports of every module and holds them to one table.

A room is a module or package directly in `src/reverie`; its row names every other room of Reverie that it may
import. Imports inside functions, under `TYPE_CHECKING` and through `importlib` count too: they show the same
dependence.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "reverie"

FACE = "__init__"  # `import reverie` itself, the public names

MATHS = {"ops", "nn", "distributions"}
DATA = {"spaces", "experience", "errors", "text"}
HALVES = MATHS | DATA
LEARNER = HALVES | {"config", "world_model", "behaviour", "optim", "compiling", "devices"}
AGENT = LEARNER | {"learner", "reference", "presets", "storage"}
DREAMS = AGENT | {"agent", "replay"}
TRAINING = AGENT | {"agent", "replay", "datasets", "envs", "dreams", "results", "tuned"}

# In the order of the data's way, from the equations up to the command line: a row names only rows above it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "text": set(),
    "config": {"errors"},
    "presets": {"config"},
    "spaces": {"errors"},
    "experience": set(),
    "compiling": set(),
    "devices": {"errors"},
    "storage": {"errors"},
    "ops": set(),
    "nn": {"ops"},
    "distributions": {"ops"},
    "world_model": HALVES,
    "behaviour": HALVES,
    "optim": set(),
    "learner": LEARNER,
    "tuned": LEARNER | {"learner"},
    "reference": LEARNER | {"learner"},
    "agent": AGENT,
    "replay": DATA | {"storage"},
    "datasets": DATA | {"storage"},
    "envs": DATA,
    "dreams": DREAMS,
    "export": AGENT | {"agent", "envs"},
    "results": {"config", "errors", "storage", "text"},
    "dashboard": {"errors", "spaces", "dreams", "storage", "results", "text"},
    "training": TRAINING,
    FACE: TRAINING | {"training"},
    "evidence": {"config", "errors", "text", "presets", "storage", "envs", "results", "training"},
    "cli": TRAINING | {"training", "export", "dashboard", "evidence", FACE},
    "__main__": {"cli"},
}

# Also the rooms that the table lacks; their own test says so.
ROOMS = set(MAY_IMPORT) | {path.stem for path in SOURCE.iterdir() if path.suffix in {"", ".py"}}

# These execute what they read: a checkpoint or a replay file must never be able to run code.
FORBIDDEN = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill"}


def module_name(path: Path) -> str:
    """A file's dotted name: `reverie.ops` for a package's `__init__.py`, `reverie.__init__` for the face."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def dynamic_target(call: ast.Call) -> str | None:
    """What `import_module("…")`, `import_module(f"….{name}")` or `__import__("…")` names; None otherwise."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name not in {"import_module", "__import__"} or not call.args:
        return None
    target = call.args[0]
    if isinstance(target, ast.JoinedStr) and target.values:
        target = target.values[0]
    return target.value if isinstance(target, ast.Constant) and isinstance(target.value, str) else None


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports; its relative imports start from `package`.

    `from a import b` gives `a.b`: whether b is a module or a name in a makes no difference to the room.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                origin = ".".join(base + ([node.module] if node.module else []))
                yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
            case ast.Call() if (target := dynamic_target(node)) is not None:
                yield node.lineno, target if not target.startswith(".") else package + target


def room_of(name: str) -> str:
    """The room that `reverie.…` stands in; the face for a name that is no room, such as `reverie.Agent`."""
    _, _, rest = name.partition(".")
    first = rest.partition(".")[0]
    return first if first in ROOMS else FACE


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """One sentence for each import that the table or the list of forbidden modules excludes."""
    room = module.split(".")[1]
    if room not in MAY_IMPORT:
        return [
            f"{module}: the room '{room}' is new; give it a row in MAY_IMPORT in tests/test_architecture.py, "
            "at its place on the data's way, with the rooms that it may import."
        ]
    package = module.removesuffix(".__init__") if is_package else module.rpartition(".")[0]
    found = []
    for line, name in imported(source, package):
        top = name.partition(".")[0]
        if top in FORBIDDEN:
            found.append(f"{module}:{line} imports {top}, which executes what it reads.")
        elif top == "reverie" and room_of(name) not in MAY_IMPORT[room] | {room}:
            allowed = ", ".join(sorted(MAY_IMPORT[room])) or "nothing of Reverie"
            found.append(f"{module}:{line} imports {name}; '{room}' may import {allowed}.")
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=module_name)
def test_module_imports_only_what_its_room_may(path: Path) -> None:
    found = violations(path.read_text(), module_name(path), is_package=path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_table_has_no_cycles() -> None:
    above: set[str] = set()
    for room, allowed in MAY_IMPORT.items():
        assert allowed <= above, f"the row '{room}' names {sorted(allowed - above)}, which stands below it"
        above.add(room)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("reverie.ops.returns", "from reverie.nn import Linear"),
        ("reverie.ops.returns", "import reverie.nn.linear"),
        ("reverie.ops.returns", "from reverie import nn"),
        ("reverie.ops.returns", "from ..nn import Linear"),
        ("reverie.ops.returns", "from .. import nn"),
        ("reverie.ops.returns", "import reverie"),
        ("reverie.ops.returns", "from reverie import Agent"),
        ("reverie.spaces", "from . import envs"),
        ("reverie.nn.norm", "def f():\n    from reverie.learner import update"),
        ("reverie.nn.norm", "if TYPE_CHECKING:\n    from reverie.config import Config"),
        ("reverie.world_model.rssm", "from reverie.behaviour.actor import Actor"),
        ("reverie.behaviour.actor", "from reverie.world_model.rssm import RSSM"),
        ("reverie.world_model.model", "from reverie.config import Config"),
        ("reverie.optim", "from reverie.ops.scaling import symlog"),
        ("reverie.envs.registry", 'importlib.import_module(f"reverie.training.{name}")'),
        ("reverie.replay.buffer", '__import__("reverie.learner")'),
        ("reverie.learner.update", "from reverie.tuned import best_forms"),
        ("reverie.nn.linear", "import reverie.tuned.cpu"),
        ("reverie.agent", "from reverie.tuned import cpu"),
        ("reverie.config", "from reverie.spaces import Feature"),
        ("reverie.presets", "from reverie.learner import update"),
        ("reverie.agent", "from reverie.training.loop import train"),
        ("reverie.training.loop", "from reverie.cli import main"),
        ("reverie.training.loop", "from reverie import train"),
        ("reverie.training.checkpoint", "import pickle"),
        ("reverie.replay.disk", "from cloudpickle import dumps"),
        ("reverie.replay.disk", 'importlib.import_module("dill")'),
    ],
)
def test_check_catches(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


def test_check_catches_relative_import_of_a_package() -> None:
    assert violations("from ..nn import Linear", "reverie.ops", is_package=True)
    assert not violations("from .scaling import symlog", "reverie.ops", is_package=True)
    assert not violations("from .agent import Agent", "reverie.__init__", is_package=True)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("reverie.nn.linear", "import jax\nfrom reverie.ops.scaling import symlog"),
        ("reverie.ops.returns", "from reverie.ops.scaling import symlog\nfrom . import scaling"),
        ("reverie.learner", "from reverie.behaviour import actor\nfrom reverie.config import Config"),
        ("reverie.envs.registry", 'importlib.import_module(f"reverie.envs.{name}")'),
        ("reverie.cli", "import reverie\nfrom reverie.presets import SIZES"),
    ],
)
def test_check_allows(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_new_room_is_told_its_place() -> None:
    assert "MAY_IMPORT" in violations("", "reverie.surprise")[0]
