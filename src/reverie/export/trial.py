"""Plays with a policy and with its export side by side. May import: `graph`; `envs`."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import jax
import numpy as np

from reverie.errors import ReverieError
from reverie.export.graph import Graph, as_outputs

TOLERANCE = 1e-3  # of numbers, relative to their size where that is above 1
TIES = 0.005  # the share of choices that may differ: between classes that are equally likely up to rounding

Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]  # inputs by name → outputs by name


class MismatchError(ReverieError):
    """What was exported does not compute what the agent does; nothing was written."""


@dataclass(frozen=True)
class Trial:
    """How an export compared with the agent.

    Attributes:
        steps: the steps that were compared.
        returns: of the episodes that the export played; empty if there was no environment.
        error: the largest difference of a number, relative to its size where that is above 1.
        ties: the share of choices that differed.
    """

    steps: int
    returns: tuple[float, ...]
    error: float
    ties: float


def compare(graph: Graph, run: Run, make: Callable[[], gym.Env[Any, Any]] | None, episodes: int, limit: int) -> Trial:
    """Play episodes with the export, and compute each step with the agent too, from the same inputs.

    Args:
        graph: the policy.
        run: computes its outputs with the export.
        make: creates the environment; without one, observations are drawn from their space.
        episodes: to play.
        limit: steps of an episode, at most.

    Raises:
        MismatchError: the outputs differ by more than rounding.
    """
    reference = jax.jit(graph.__call__)
    names = [port.name for port in graph.inputs]
    generator, returns = np.random.default_rng(0), []
    errors, choices, differing, steps = [0.0], 0, 0, 0
    with closing(_Drawn(graph) if make is None else make()) as env:
        for episode in range(episodes):
            observation, _ = env.reset(seed=episode)
            state, first, total = graph.initial_state(1), True, 0.0
            for _ in range(limit):
                batched = jax.tree.map(lambda x: np.asarray(x)[None], observation)
                inputs = {
                    **graph.named_observation(batched),
                    "is_first": np.array([first]),
                    **state,
                    **graph.draw_noise(generator, 1),
                }
                outputs, expected = run(inputs), as_outputs(graph, reference(*(inputs[name] for name in names)))
                for name, ours in expected.items():
                    theirs = np.asarray(outputs[name])
                    if ours.dtype.kind == "f" and not name.endswith("/stoch"):
                        errors.append(float(np.max(np.abs(theirs - ours) / np.maximum(1, np.abs(ours)), initial=0)))
                    else:
                        choices, differing = choices + ours.size, differing + int(np.sum(theirs != ours))
                steps += 1
                state = {f"state/{name.removeprefix('next/')}": x for name, x in outputs.items() if "next/" in name}
                action = jax.tree.map(lambda x: x[0], graph.environment_action(outputs))
                observation, reward, terminated, truncated, _ = env.step(action)
                first, total = False, total + float(reward)
                if terminated or truncated:
                    break
            returns.append(total)
    trial = Trial(steps, () if make is None else tuple(returns), max(errors), differing / max(1, choices))
    if not trial.error <= TOLERANCE or trial.ties > TIES:
        raise MismatchError(
            f"The export differs from the agent: numbers by up to {trial.error:.2g}, choices in {trial.ties:.1%}, over "
            f"{steps:,} steps. Nothing was written; please report this with the versions of the packages."
        )
    return trial


class _Drawn(gym.Env[Any, Any]):
    """An environment whose observations are drawn from their space; its episodes don't end."""

    def __init__(self, graph: Graph) -> None:
        self.observation_space, self.action_space = graph.spaces.observation_space, graph.spaces.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}
