"""The world model as an environment: Gymnasium's own checks, reproducibility, ends, and training in it."""

from dataclasses import replace

import equinox as eqx
import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from reverie.config import EnvConfig
from reverie.dreams import DreamEnv, DreamModel, DreamVectorEnv
from reverie.envs import make_env
from reverie.errors import InputError
from reverie.training import train


def play(env: DreamVectorEnv, steps: int = 6) -> list:
    env.action_space.seed(0)
    played = [env.reset(seed=3)[0]]
    return played + [env.step(env.action_space.sample())[:4] for _ in range(steps)]


def same(ours, theirs) -> bool:
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.filterwarnings("ignore:.*(Casting input|infinity|precision|symmetric|normalized|image)")
def test_gymnasiums_checker_accepts_a_dream(dreamer):
    check_env(DreamEnv(dreamer.agent, dreamer.moments, horizon=5), skip_render_check=True)


def test_a_vector_of_dreams_is_reproducible_and_stays_in_its_spaces(dreamer):
    env = DreamVectorEnv(dreamer.agent, dreamer.moments, 3, horizon=4)
    first = play(env)
    for observation, reward, terminated, truncated in first[1:]:
        assert env.observation_space.contains(observation)
        assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert same(first, play(env))


def test_episodes_start_at_recorded_observations_and_are_truncated_at_the_horizon(dreamers):
    dreamer = dreamers["vector"]
    env = DreamVectorEnv(dreamer.agent, dreamer.moments, 4, horizon=2)
    recorded = {m.records.observation["vector"][m.start].tobytes() for m in dreamer.moments}
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    begun, ends = np.ones(4, bool), np.zeros(4, bool)
    lengths = np.zeros(4, int)
    for _ in range(12):
        assert all(row.tobytes() in recorded for row in observation[begun])
        begun = ends
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        ends, lengths = terminated | truncated, np.where(begun, 0, lengths + 1)
        assert not reward[begun].any()
        assert not ends[begun].any()
        np.testing.assert_array_equal(truncated & ~terminated, (lengths == 2) & ~terminated)


def test_a_model_that_predicts_the_end_terminates(dreamers):
    dreamer = dreamers["vector"]
    env = DreamVectorEnv(dreamer.agent, dreamer.moments, 2, horizon=50)
    bias = dreamer.agent.networks.world_model.continue_head.out.bias
    env._networks = eqx.tree_at(lambda networks: networks.world_model.continue_head.out.bias, env._networks, bias - 50)
    env.reset(seed=0)
    *_, terminated, truncated, _ = env.step(env.action_space.sample())
    assert terminated.all()
    assert not truncated.any()


def test_the_model_observes_imagines_and_predicts_in_the_environments_terms(dreamers):
    dreamer = dreamers["everything"]
    model, spaces = DreamModel(dreamer.agent), dreamer.agent.spaces
    batch, time = 2, 3
    observations = gym.vector.utils.batch_space(gym.vector.utils.batch_space(spaces.observation_space, time), batch)
    actions = gym.vector.utils.batch_space(gym.vector.utils.batch_space(spaces.action_space, time), batch)
    states = model.observe(observations.sample(), actions.sample())
    assert states.deter.shape[:2] == (batch, time)
    last = jax.tree.map(lambda x: x[:, -1], states)
    imagined = model.imagine(last, actions.sample(), jax.random.key(0))
    assert observations.contains(model.decode(imagined))
    assert model.reward(imagined).shape == model.cont(imagined).shape == model.value(imagined).shape == (batch, time)
    assert gym.vector.utils.batch_space(spaces.action_space, batch).contains(model.act(last))
    with pytest.raises(InputError, match="2 states"):
        model.imagine(last, jax.tree.map(lambda x: x[:1], actions.sample()))


def test_observing_agrees_with_what_a_dream_remembers(dreamers):
    """Both filter the same records; without stored latents, from the start of the episode."""
    dreamer = dreamers["vector"]
    moment = next(m for m in dreamer.moments if m.records.is_first[0])
    model, spaces = DreamModel(dreamer.agent), dreamer.agent.spaces
    until = slice(0, moment.start + 1)
    records = jax.tree.map(lambda x: x[until], (moment.records.observation, moment.records.action))
    observation, action = spaces.decode_observation(records[0]), spaces.decode_action(records[1])
    states = model.observe(observation[None], action[None])
    remembered = model.remember(moment)
    np.testing.assert_allclose(states.deter[:, -1], remembered.deter, atol=1e-5)


@pytest.mark.parametrize(("change", "words"), [({"num_envs": 0}, "num_envs"), ({"horizon": 0}, "horizon")])
def test_what_makes_no_sense_is_refused(dreamers, change, words):
    with pytest.raises(InputError, match=words):
        DreamVectorEnv(dreamers["vector"].agent, dreamers["vector"].moments, **change)
    with pytest.raises(InputError, match="moment"):
        DreamVectorEnv(dreamers["vector"].agent, [])


@pytest.mark.parametrize("mode", ["serial", "vector"])
def test_an_agent_trains_in_the_dream_of_a_run(runs, tiny, mode):
    config = replace(tiny, env=EnvConfig(envs=2, mode=mode, kwargs=("horizon=5", "moments=2")))
    trained = train(f"dream:{runs / 'vector'}", config, steps=40, quiet=True)
    assert trained.spaces.action_space == gym.spaces.Discrete(3)


def test_a_dream_of_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run in"):
        make_env(f"dream:{tmp_path}")
