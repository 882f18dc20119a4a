"""Exports a policy: the converted program, and a contract next to it. May import: the rest of this room."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym

from reverie.agent import Agent
from reverie.errors import InputError
from reverie.export import onnx, stablehlo
from reverie.export.graph import Graph, Port
from reverie.export.trial import Trial, compare
from reverie.storage import replacing, write_text

FORMAT = 1


def export_policy(
    agent: Agent,
    path: str | Path,
    *,
    deterministic: bool = True,
    make: Callable[[], gym.Env[Any, Any]] | None = None,
    episodes: int = 2,
    max_steps: int = 1000,
) -> Trial:
    """Write a policy for programs without Reverie, and its contract, a JSON file of the same name.

    Before anything is written, episodes are played with what was exported, and each step is compared with the agent.

    Args:
        agent: whose policy it is.
        path: ends in .onnx or .stablehlo. Files that are there are replaced.
        deterministic: always the most likely action; otherwise noise is an input, and actions are samples.
        make: creates an environment to play in; without one, observations are drawn from their space.
        episodes: how many to play.
        max_steps: how long an episode is, at most.

    Raises:
        InputError: another suffix, or a package is not installed.
        MismatchError: the export does not compute what the agent does.
    """
    path, graph = Path(path), Graph(agent, deterministic=deterministic)
    if path.suffix == onnx.SUFFIX:
        program = onnx.convert(graph)
        run = onnx.runner(program)
    elif path.suffix == stablehlo.SUFFIX:
        program = stablehlo.convert(graph)
        run = stablehlo.runner(graph, program)
    else:
        raise InputError(f"'{path}' must end in {onnx.SUFFIX} or {stablehlo.SUFFIX}, which decides the format.")
    trial = compare(graph, run, make, episodes, max_steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(program)
    write_text(path.with_suffix(".json"), json.dumps(contract(graph), indent=2))
    return trial


def contract(graph: Graph) -> dict[str, Any]:
    """Everything that a program needs to know to use the export, in JSON's types."""
    return {
        "format": FORMAT,
        "batch": "every array has a leading axis N of any size, one row per environment",
        "inputs": [_described(port) for port in graph.inputs],
        "outputs": [_described(port) for port in graph.outputs],
        "state": {f"next/{port.name[6:]}": port.name for port in graph.inputs if port.name.startswith("state/")},
        "first_step": "is_first is true, and the state is zeros",
        "deterministic": graph.deterministic,
        "spaces": graph.spaces.to_json(),
        "agent": graph.agent.source,
    }


def _described(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": ["N", *port.shape], "dtype": port.dtype.name, "meaning": port.meaning}
