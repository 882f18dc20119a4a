"""Exported policies act as the agent does, in every kind of space, and say what they need."""

import importlib.util
import json

import gymnasium as gym
import jax
import numpy as np
import pytest
from jax import export as jax_export

from reverie.agent import Agent
from reverie.config import Config, ModelConfig
from reverie.errors import InputError
from reverie.export import Graph, MismatchError, export_policy, trial
from reverie.export import stablehlo as stablehlo_format
from reverie.spaces import Spaces

TINY = Config(model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4))
SPACES = Spaces(
    gym.spaces.Dict(
        {
            "camera": gym.spaces.Box(0, 255, (8, 12, 3), np.uint8),
            "speed": gym.spaces.Tuple([gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)]),
            "gear": gym.spaces.Discrete(3, start=-1),
        }
    ),
    gym.spaces.Dict({"turn": gym.spaces.Box(-2, 4, (2,), np.float32), "buttons": gym.spaces.MultiDiscrete([2, 3])}),
)
ONNX = pytest.param(
    ".onnx", marks=pytest.mark.skipif(not importlib.util.find_spec("jax2onnx"), reason="needs the extra onnx")
)


@pytest.fixture(scope="module")
def agent():
    """An agent whose heads are not zero, so that its choices differ."""
    fresh = Agent(SPACES, TINY)
    keys = iter(jax.random.split(jax.random.key(1), 1000))
    networks = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(next(keys), x.shape, x.dtype), fresh.networks)
    return Agent(SPACES, TINY, networks=networks)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("suffix", [".stablehlo", ONNX])
def test_an_export_computes_what_the_agent_does(agent, tmp_path, suffix, deterministic):
    made = export_policy(agent, tmp_path / f"policy{suffix}", deterministic=deterministic, episodes=2, max_steps=20)
    assert made.steps == 40
    assert made.error < 1e-4
    contract = json.loads((tmp_path / "policy.json").read_text())
    assert contract["deterministic"] == deterministic
    inputs, outputs = ({x["name"] for x in contract[ports]} for ports in ("inputs", "outputs"))
    assert {"observation/camera", "observation/gear", "is_first", "state/deter"} <= inputs
    assert {"action/turn", "action/buttons", "next/deter"} <= outputs


def test_one_step_is_that_of_the_agent(agent):
    """The graph against `Agent.act`, over an episode and the beginning of the next one, two environments at a time."""
    graph, carry = Graph(agent), agent.initial_carry(2)
    step, state = jax.jit(graph.__call__), graph.initial_state(2)
    space = gym.vector.utils.batch_space(SPACES.observation_space, 2)
    space.seed(0)
    for time in range(6):
        observation, first = space.sample(), np.array([time in (0, 4), time == 0])
        inputs = {**graph.named_observation(observation), "is_first": first, **state}
        outputs = dict(zip((x.name for x in graph.outputs), step(*(inputs[x.name] for x in graph.inputs)), strict=True))
        expected, carry = agent.act(observation, carry, deterministic=True, is_first=first)
        for ours, theirs in zip(*map(jax.tree.leaves, (graph.environment_action(outputs), expected)), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        state = {f"state/{name[5:]}": x for name, x in outputs.items() if name.startswith("next/")}


def test_the_batch_size_is_free_and_the_program_is_for_every_platform(agent):
    graph = Graph(agent)
    loaded = jax_export.deserialize(bytearray(stablehlo_format.convert(graph)))
    assert set(loaded.platforms) == {"cpu", "cuda", "tpu"}
    for count in (1, 5):
        inputs = [np.zeros((count, *port.shape), port.dtype) for port in graph.inputs]
        assert all(len(x) == count for x in loaded.call(*inputs))


def test_a_different_program_is_refused_and_nothing_is_written(agent, tmp_path, monkeypatch):
    other = Graph(Agent(SPACES, TINY))
    monkeypatch.setattr(stablehlo_format, "runner", lambda graph, _: right(other))
    with pytest.raises(MismatchError, match="Nothing was written"):
        export_policy(agent, tmp_path / "policy.stablehlo", episodes=1, max_steps=5)
    assert not list(tmp_path.iterdir())


def right(graph):
    return stablehlo_format_runner(graph, stablehlo_format.convert(graph))


stablehlo_format_runner = stablehlo_format.runner


def test_other_suffixes_are_refused(agent, tmp_path):
    with pytest.raises(InputError, match="must end in"):
        export_policy(agent, tmp_path / "policy.pt")
    assert trial.TOLERANCE < 1e-2
