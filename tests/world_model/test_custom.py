"""Networks of the user's own for single observations."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie import Agent, register_decoder, register_encoder
from reverie.config import Config, ModelConfig, config_from_dict, config_to_dict
from reverie.distributions import SymlogVector
from reverie.errors import InputError
from reverie.learner import Learner
from reverie.nn import Linear
from reverie.spaces import Continuous, Discrete, Spaces

MODEL = ModelConfig(deter=8, hidden=4, groups=2, classes=3, blocks=2, units=6, depth=2, compute_dtype="float32")
OBSERVATIONS = {"scan": Continuous((5,)), "speed": Continuous((2,))}
ACTIONS = {"action": Discrete((), 3)}


class Flat(eqx.Module):
    linear: Linear
    size: int = eqx.field(static=True)

    def __init__(self, feature, *, units, depth, key):
        self.linear, self.size = Linear(feature.shape[0], 7, key=key), 7

    def __call__(self, observation):
        return self.linear(observation)


class Guess(eqx.Module):
    linear: Linear

    def __init__(self, feature, *, deter, stoch, units, depth, key):
        self.linear = Linear(deter + stoch, feature.shape[0], key=key)

    def __call__(self, deter, stoch):
        return SymlogVector(self.linear(jnp.concatenate([deter, stoch.astype(deter.dtype)], -1)), 1)


@pytest.fixture(autouse=True)
def registered():
    register_encoder("flat", Flat)
    register_decoder("guess", Guess)


def with_custom(encoders=("scan=flat",), decoders=("scan=guess",)) -> Config:
    return Config(model=replace(MODEL, encoders=encoders, decoders=decoders))


def test_custom_networks_are_used_and_trained():
    learner = Learner(OBSERVATIONS, ACTIONS, with_custom())
    model = learner.init(jax.random.key(0)).networks.world_model
    observation = {"scan": jnp.ones((2, 3, 5)), "speed": jnp.ones((2, 3, 2))}
    embedding = model.encoder(observation)
    assert embedding.shape == (2, 3, MODEL.units + 7)
    np.testing.assert_allclose(embedding[..., MODEL.units :], model.encoder.custom["scan"](observation["scan"]))

    def loss(model):
        action, is_first = {"action": jnp.zeros((2, 3), int)}, jnp.zeros((2, 3), bool)
        latent = model.observe(model.initial((2,)), observation, action, is_first)
        return sum(output.loss(observation[key]).sum() for key, output in model.decode(latent).items())

    gradient = jax.grad(loss)(model)
    assert jnp.abs(gradient.encoder.custom["scan"].linear.weight).max() > 0
    assert jnp.abs(gradient.decoder.custom["scan"].linear.weight).max() > 0
    assert set(model.decoder.vectors.heads) == {"speed"}


def test_other_parameters_do_not_depend_on_a_custom_network():
    plain = Learner(OBSERVATIONS, ACTIONS, with_custom((), ())).init(jax.random.key(0)).networks
    custom = Learner(OBSERVATIONS, ACTIONS, with_custom()).init(jax.random.key(0)).networks
    np.testing.assert_array_equal(plain.actor.trunk.layers[0].linear.weight, custom.actor.trunk.layers[0].linear.weight)


def test_an_agent_with_custom_networks_is_saved_and_loaded(tmp_path, spaces):
    agent = Agent(spaces, with_custom())
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    for ours, theirs in zip(jax.tree.leaves(agent.networks), jax.tree.leaves(loaded.networks), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    observation = {"scan": np.ones(5, np.float32), "speed": np.ones(2, np.float32)}
    assert loaded.act(observation, loaded.initial_carry())[0] in range(3)


def test_an_unregistered_network_is_named_when_loading(tmp_path, spaces, monkeypatch):
    path = Agent(spaces, with_custom()).save(tmp_path / "agent")
    monkeypatch.setattr("reverie.world_model.custom._encoders", {})
    with pytest.raises(InputError, match=r"no encoder called 'flat'; none is registered. Call reverie.reg"):
        Agent.load(path)


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        (("scan",), "pairs KEY=NAME"),
        (("radar=flat",), "names the observation 'radar', but the encoder's are 'scan', 'speed'"),
        (("scan=round",), "no encoder called 'round'; registered are"),
    ],
)
def test_wrong_choices_are_explained(encoders, message):
    with pytest.raises(InputError, match=message):
        Learner(OBSERVATIONS, ACTIONS, with_custom(encoders)).init(jax.random.key(0))


def test_the_config_survives_json():
    assert config_from_dict(config_to_dict(with_custom())) == with_custom()


@pytest.fixture
def spaces() -> Spaces:
    from gymnasium.spaces import Box, Dict
    from gymnasium.spaces import Discrete as Choice

    return Spaces(Dict({"scan": Box(0, 1, (5,)), "speed": Box(-1, 1, (2,))}), Choice(3))
