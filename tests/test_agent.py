"""The agent in the hand: acting on Gymnasium's own spaces, saving and loading."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reverie
from reverie.config import Config, ModelConfig
from reverie.spaces import Spaces

SOURCE = Path(__file__).parents[1] / "src"
CONFIG = Config(model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4))
OBSERVATIONS = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (64, 48, 1), np.uint8),
        "speed": gym.spaces.Box(-np.inf, np.inf, (), np.float32),
        "goal": gym.spaces.Discrete(3, start=1),
    }
)
ACTIONS = gym.spaces.Dict({"turn": gym.spaces.Box(-3, 1, (2,), np.float32), "gear": gym.spaces.Discrete(4, start=-1)})


@pytest.fixture(scope="module")
def agent() -> reverie.Agent:
    return reverie.Agent(Spaces(OBSERVATIONS, ACTIONS), CONFIG)


def test_acts_on_one_observation_in_the_environments_own_terms(agent):
    carry = agent.initial_carry(batch_size=1)
    OBSERVATIONS.seed(0)
    for _ in range(3):
        action, carry = agent.act(OBSERVATIONS.sample(), carry)
        assert ACTIONS.contains(action), action


def test_acts_on_a_batch(agent):
    batch = gym.vector.utils.batch_space(OBSERVATIONS, 3)
    action, carry = agent.act(batch.sample(), agent.initial_carry(batch_size=3))
    assert action["turn"].shape == (3, 2)
    assert carry.latent.deter.shape == (3, 16)
    with pytest.raises(ValueError, match="observations of 3 environments but a carry of 2"):
        agent.act(batch.sample(), agent.initial_carry(batch_size=2))


def test_deterministic_actions_repeat_and_samples_follow_the_seed(agent):
    OBSERVATIONS.seed(1)
    observation = OBSERVATIONS.sample()
    act = lambda seed, **kwargs: agent.act(observation, agent.initial_carry(1, seed), **kwargs)[0]["turn"]  # noqa: E731
    np.testing.assert_array_equal(act(0, deterministic=True), act(1, deterministic=True))
    np.testing.assert_array_equal(act(0), act(0))
    assert np.any(act(0) != act(1))


def test_is_first_forgets(agent):
    OBSERVATIONS.seed(2)
    first, second = OBSERVATIONS.sample(), OBSERVATIONS.sample()
    fresh, _ = agent.act(second, agent.initial_carry(), deterministic=True)
    _, carry = agent.act(first, agent.initial_carry(), deterministic=True)
    after, _ = agent.act(second, carry, deterministic=True, is_first=np.array([True]))
    np.testing.assert_array_equal(fresh["turn"], after["turn"])
    remembered, _ = agent.act(second, carry, deterministic=True)
    assert np.any(fresh["turn"] != remembered["turn"])


def test_a_loaded_agent_acts_alike_without_an_environment(agent, tmp_path):
    agent.save(tmp_path / "agent")
    loaded = reverie.Agent.load(tmp_path / "agent")
    assert loaded.spaces == agent.spaces
    assert loaded.config == agent.config
    OBSERVATIONS.seed(3)
    observation = OBSERVATIONS.sample()
    ours, _ = agent.act(observation, agent.initial_carry())
    theirs, _ = loaded.act(observation, loaded.initial_carry())
    np.testing.assert_array_equal(ours["turn"], theirs["turn"])
    assert ours["gear"] == theirs["gear"]
    agent.save(tmp_path / "agent")  # again, over itself


def test_saving_over_something_else_is_refused(agent, tmp_path):
    (tmp_path / "precious").write_text("")
    with pytest.raises(ValueError, match="holds no agent"):
        agent.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds a run"):
        agent.save(tmp_path / "run")


def test_an_agent_from_another_device_loads_here(agent, tmp_path):
    """The saving process sees two devices and uses the second; this one has no such device."""
    script = (
        "import sys, jax, reverie\n"
        "from reverie.config import config_from_dict\n"
        "from reverie.spaces import Spaces\n"
        "import json; data = json.load(open(sys.argv[1]))\n"
        "with jax.default_device(jax.devices()[1]):\n"
        "    reverie.Agent(Spaces.from_json(data['spaces']), config_from_dict(data['config'])).save(sys.argv[2])\n"
    )
    (tmp_path / "agent.json").write_text(json.dumps(agent.description()))
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(SOURCE),
    }
    command = [sys.executable, "-c", script, str(tmp_path / "agent.json"), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, timeout=300)
    loaded = reverie.Agent.load(tmp_path / "there")
    assert {device for leaf in jax.tree.leaves(loaded.networks) for device in leaf.devices()} == {jax.devices()[0]}


def test_loading_says_what_is_wrong(agent, tmp_path):
    with pytest.raises(ValueError, match="There is no agent in"):
        reverie.Agent.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "agent.json").write_text("")
    with pytest.raises(ValueError, match=r"empty/agent.json is damaged"):
        reverie.Agent.load(tmp_path / "empty")
    agent.save(tmp_path / "agent")
    file = tmp_path / "agent" / "agent.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(ValueError, match="format 99, this version of Reverie reads format 2"):
        reverie.Agent.load(tmp_path / "agent")
    file.write_text(json.dumps({"format": 2}))
    with pytest.raises(ValueError, match=r"it lacks \['config', 'spaces'\]"):
        reverie.Agent.load(tmp_path / "agent")
    description["config"]["model"]["units"] = 24
    file.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="don't fit the agent"):
        reverie.Agent.load(tmp_path / "agent")
    description["config"]["model"]["units"] = "wide"
    file.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="config.model.units should be an integer, got 'wide'"):
        reverie.Agent.load(tmp_path / "agent")


def test_the_world_model_observes_imagines_and_decodes(agent):
    model = agent.world_model
    observation = {key: jnp.asarray(value)[:, None] for key, value in agent.spaces.zero_observation(2).items()}
    previous = {key: jnp.asarray(value)[:, None] for key, value in agent.spaces.zero_action(2).items()}
    states = model.observe(model.initial((2,)), observation, previous, jnp.ones((2, 1), bool))
    latent = jax.tree.map(lambda x: x[:, -1], states)
    for _ in range(2):
        latent = model.imagine(latent, {key: x[:, 0] for key, x in previous.items()}, jax.random.key(0))
    outputs = model.decode(latent)
    assert outputs["image"].prediction().shape == (2, 64, 48, 1)
    assert outputs["speed"].prediction().shape == (2,)
    assert outputs["goal"].prediction().shape == (2,)
    assert model.reward(latent).prediction().shape == (2,)
    assert np.all((np.asarray(model.cont(latent).prediction()) > 0) & (np.asarray(model.cont(latent).prediction()) < 1))
