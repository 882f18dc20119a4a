"""JAX environments: compiled, they return the same records as stepped from Python."""

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from reverie.envs import Environments, make_env
from reverie.envs.compiled import CompiledEnvironments
from reverie.envs.functional import JaxEnv, Transition
from reverie.envs.make import find_jax_env
from reverie.errors import InputError
from reverie.spaces import Spaces
from reverie.spaces.traced import decode_action, encode_observation


class Counting(JaxEnv):
    """Observes the time and the last action, rewards the time; action 1 terminates, time 5 truncates."""

    observation_space = spaces.Dict({"time": spaces.Box(0, 9, (2,)), "done": spaces.Discrete(5, start=5)})
    action_space = spaces.Discrete(3, start=5)

    def reset(self, key: Any) -> tuple[Any, Any]:
        return jnp.zeros((), jnp.int32), {"time": jnp.zeros(2), "done": jnp.full((), 9, jnp.int32)}

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        shown = {"time": jnp.full(2, state + 1.0), "done": action}
        return Transition(state + 1, shown, state + 1.0, action == 6, state + 1 == 5, {"time": state + 1, "pi": 3.14})


class Random(Counting):
    """Starts at a random time."""

    def reset(self, key: Any) -> tuple[Any, Any]:
        _, shown = super().reset(key)
        return jax.random.randint(key, (), 0, 4), shown


@pytest.mark.parametrize("num_envs", [1, 3, 300])
def test_records_equal_those_of_environments_stepped_from_python(num_envs):
    compiled, plain = CompiledEnvironments(Counting(), num_envs), Environments(Counting, num_envs)
    assert compiled.spaces == plain.spaces
    state, step = jax.jit(compiled.reset)(jax.random.key(0))
    expected, advance, ends = plain.reset(), jax.jit(compiled.step), 0
    rng = np.random.default_rng(0)
    for _ in range(25):
        jax.tree.map(np.testing.assert_array_equal, step, expected)
        assert jax.tree.map(lambda x: x.dtype, step) == jax.tree.map(lambda x: x.dtype, expected)
        ends += int(expected.is_last.sum())
        action = {"action": rng.choice(3, num_envs, p=[0.5, 0.2, 0.3])}
        state, step, info = advance(jax.random.key(1), state, step, jax.tree.map(jnp.asarray, action))
        expected = plain.step(action)
        for index, numbers in plain.final_info.items():
            assert {name: values[index] for name, values in info.items()} == pytest.approx(numbers)
    assert ends > num_envs


def test_episodes_start_differently():
    envs = CompiledEnvironments(Random(), 256)  # two at a time
    state, step = jax.jit(envs.reset)(jax.random.key(0))
    first = np.bincount(state, minlength=4)
    ended = step._replace(is_last=jnp.ones(256, bool))
    state, step, _ = jax.jit(envs.step)(jax.random.key(1), state, ended, {"action": jnp.ones(256, jnp.int32)})
    assert step.is_first.all()
    assert not step.is_last.any()
    assert (step.reward == 0).all()
    assert min(*first, *np.bincount(state, minlength=4)) > 30


def test_only_selected_keys_are_observed():
    envs = CompiledEnvironments(Counting(), 2, keys="time")
    assert list(envs.spaces.observation) == ["time"]
    assert list(envs.reset(jax.random.key(0))[1].observation) == ["time"]


INF = np.inf
IMAGES = [
    spaces.Box(0, 255, (16, 12, 3), np.uint8),
    spaces.Box(0, 255, (3, 16, 12), np.uint8),
    spaces.Box(0, 255, (16, 12), np.uint8),
    spaces.Box(0, 255, (4, 16, 12), np.uint8),
    spaces.Box(0, 1, (16, 12, 3), np.float32),
    spaces.Box(0, 255, (2, 3, 16, 12), np.float32),
    spaces.Box(0, 5, (16, 12), np.uint8),
    spaces.Box(-1, 1, (16, 12, 3), np.float32),
    spaces.Box(0, 65535, (16, 12, 1), np.uint16),
    spaces.Box(0, 1, (16, 12, 2), bool),
]
OTHERS = [
    spaces.Box(-INF, INF, (3,), np.float32),
    spaces.Box(-2, 5, (), np.float32),
    spaces.Box(np.array([-1, -INF, 0], np.float32), np.array([3, 2, INF], np.float32)),
    spaces.Box(-3, 4, (2, 2), np.int32),
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([3, 5], start=[1, -1]),
    spaces.MultiBinary(4),
]


def batch(space: gym.Space[Any], size: int) -> np.ndarray:
    space.seed(0)
    return np.stack([space.sample() for _ in range(size)])


@pytest.mark.parametrize("space", [*IMAGES, *OTHERS], ids=str)
def test_observations_are_converted_as_on_the_host(space):
    both = Spaces(spaces.Tuple([space, space]), spaces.Discrete(2))
    value = (batch(space, 5), batch(space, 5)[::-1])
    expected = both.encode_observation(value)
    got = jax.jit(lambda x: encode_observation(both, x))(value)
    assert list(got) == list(expected)
    jax.tree.map(np.testing.assert_array_equal, got, expected)
    assert all(got[key].dtype == expected[key].dtype for key in expected)


@pytest.mark.parametrize("space", OTHERS, ids=str)
def test_actions_are_converted_as_on_the_host(space):
    both = Spaces(spaces.Box(0, 1, (2,)), spaces.Dict({"a": space}))
    (feature,) = both.action.values()
    rng = np.random.default_rng(0)
    value = rng.normal(size=(50, *feature.shape)).astype(np.float32) * 2
    if hasattr(feature, "classes"):
        counts = np.reshape(feature.counts or feature.classes, feature.shape if feature.counts else ())
        value = rng.integers(0, np.broadcast_to(counts, feature.shape), size=(50, *feature.shape))
    expected = both.decode_action({"a": value})["a"]
    got = jax.jit(lambda x: decode_action(both, {"a": x}))(value)["a"]
    assert got.dtype == jax.dtypes.canonicalize_dtype(expected.dtype)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_make_env_returns_a_gymnasium_environment():
    env = make_env(Counting, render_mode="rgb_array")
    assert isinstance(env, gym.Env)
    for _ in range(2):
        observation, _ = env.reset(seed=3)
        assert env.observation_space.contains(observation)
        observation, reward, terminated, truncated, _ = env.step(np.int64(6))
        assert env.observation_space.contains(observation)
        assert (observation["done"], reward, terminated, truncated) == (6, 1, True, False)
    with pytest.raises(InputError, match="Counting has no renderer"):
        env.render()
    shown = [make_env(Random()).reset(seed=seed)[0]["time"].tolist() for seed in (1, 1)]
    assert shown[0] == shown[1]


def test_jax_environments_are_found():
    env = Counting()
    assert find_jax_env(env) is env
    assert isinstance(find_jax_env(Counting), Counting)
    assert isinstance(find_jax_env(f"{__name__}:Counting"), Counting)
    assert find_jax_env("CartPole-v1") is None
    assert find_jax_env(lambda: gym.make("CartPole-v1")) is None
    assert find_jax_env("reverie.envs.catch:Catch") is None
