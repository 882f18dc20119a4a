"""Observations that are only encoded, or only predicted."""

from dataclasses import replace

import gymnasium as gym
import jax
import numpy as np
import pytest

import reverie
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.errors import InputError
from reverie.spaces import Spaces
from reverie.training import inspect, train
from reverie.training.metrics import read_metrics

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=40, train_ratio=4, log_every=0, tensorboard=False),
)


class Keyed(gym.Env):
    """Three nested observations of random numbers; episodes of 5 steps."""

    box = gym.spaces.Box(-1, 1, (2,), np.float32)
    observation_space = gym.spaces.Dict({"seen": box, "both": box, "true": gym.spaces.Dict({"state": box})})
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.observe(), {}

    def step(self, action):
        self.count += 1
        return self.observe(), 1.0, False, self.count == 5, {}

    def observe(self):
        draw = lambda: self.np_random.uniform(-1, 1, 2).astype(np.float32)  # noqa: E731
        return {"seen": draw(), "both": draw(), "true": {"state": draw()}}


def chosen(encoder: str = "seen|both", decoder: str = "both|true/.*") -> Config:
    return replace(TINY, model=replace(TINY.model, encoder_keys=encoder, decoder_keys=decoder))


def test_what_is_seen_and_what_is_predicted_are_chosen_apart(tmp_path):
    trained = train(Keyed, chosen(), logdir=tmp_path / "run", quiet=True)
    losses = {name for row in read_metrics(tmp_path / "run") for name in row if name.startswith("loss/")}
    assert {"loss/observation/both", "loss/observation/true/state"} <= losses
    assert "loss/observation/seen" not in losses
    assert set(trained.world_model.decode(trained.initial_carry().latent)) == {"both", "true/state"}

    agent = reverie.Agent.load(tmp_path / "run")  # the keys are saved
    env = Keyed()
    observation, _ = env.reset(seed=0)
    deciding = lambda observation: agent.act(observation, agent.initial_carry(), deterministic=True)[1].latent  # noqa: E731
    before = deciding(observation)
    privileged = {"seen": observation["seen"], "both": observation["both"]}
    for other in (observation | {"true": {"state": np.zeros(2, np.float32)}}, privileged):
        np.testing.assert_array_equal(deciding(other).deter, before.deter)
        np.testing.assert_array_equal(deciding(other).stoch, before.stoch)
    with pytest.raises(ValueError, match="lacks 'both'"):
        agent.act({"seen": observation["seen"]}, agent.initial_carry())
    with pytest.raises(ValueError, match="model.encoder_keys"):
        train(Keyed, chosen(encoder="both"), logdir=tmp_path / "run", quiet=True, steps=60)


def test_parameters_are_those_of_the_keys():
    spaces = Spaces.from_env(Keyed())
    networks = reverie.Agent(spaces, chosen()).networks
    assert networks.world_model.encoder.vectors.layers[0].linear.weight.shape[0] == 4
    assert sorted(networks.world_model.decoder.vectors.heads) == ["both", "true/state"]


def test_the_defaults_are_everything():
    spaces = Spaces.from_env(Keyed())
    usual, all_named = reverie.Agent(spaces, TINY), reverie.Agent(spaces, chosen("seen|both|true/state", ".*"))
    for ours, theirs in zip(jax.tree.leaves(usual.networks), jax.tree.leaves(all_named.networks), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"encoder": "none"}, "model.encoder_keys is 'none', which matches .*; the observations are: both, seen, true"),
        ({"decoder": "true"}, "model.decoder_keys is 'true', which matches no observation"),
        ({"decoder": "("}, r"model.decoder_keys must be a regular expression, got '\('"),
    ],
)  # fmt: skip
def test_a_pattern_that_matches_nothing_is_refused(choice, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        train(Keyed, chosen(**choice), logdir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_inspect_shows_the_way_of_each(capsys):
    inspect(Keyed, chosen(encoder="seen", decoder="both"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "seen: 2 numbers → vector trunk; not predicted" in shown
    assert "both: 2 numbers → predicted, not encoded" in shown
    assert "true/state: 2 numbers → neither encoded nor predicted" in shown
    assert "neither encoded nor predicted: true/state; leave them out with env.keys" in shown
