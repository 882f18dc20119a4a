"""Environments of dm_env and Gym, as objects or from factories: adapted automatically."""

from typing import Any

import numpy as np
import pytest

from reverie.envs import Environments, make_env
from reverie.envs.from_old_gym import FromOldGym
from reverie.errors import InputError
from reverie.spaces import Spaces


def each_kind_of_spec() -> Any:
    """A dm_env environment with every kind of spec, which validates its actions and truncates after 3 steps."""
    dm_env = pytest.importorskip("dm_env")
    specs = dm_env.specs

    class Kinds(dm_env.Environment):
        closed = False

        def observation_spec(self) -> Any:
            return {
                "picture": specs.Array((8, 9, 3), np.uint8),
                "numbers": (specs.Array((2,), np.float64), specs.BoundedArray((), np.float32, -1, 1)),
                "count": specs.BoundedArray((2,), np.int32, 0, 1000),
                "class": specs.DiscreteArray(5),
                "flags": specs.Array((3,), bool),
                "flag": specs.Array((), bool),
            }

        def action_spec(self) -> Any:
            return {
                "push": specs.BoundedArray((2,), np.float64, -2.0, [1.0, 3.0]),
                "choose": specs.DiscreteArray(4),
                "steer": specs.BoundedArray((), np.int32, -1, 1),
                "keys": specs.BoundedArray((2,), np.int64, [0, 1], [1, 3]),
            }

        def show(self) -> Any:
            return {
                "picture": np.zeros((8, 9, 3), np.uint8),
                "numbers": (np.ones(2), np.float32(0.5)),
                "count": np.array([3, 700], np.int32),
                "class": np.int32(4),
                "flags": np.array([True, False, True]),
                "flag": True,
            }

        def reset(self) -> Any:
            self.steps = 0
            return dm_env.restart(self.show())

        def step(self, action: Any) -> Any:
            for name, spec in self.action_spec().items():
                spec.validate(action[name])
            self.steps += 1
            make = dm_env.truncation if self.steps == 3 else dm_env.transition
            return make(reward=np.float64(2), observation=self.show())

        def close(self) -> None:
            self.closed = True

    return Kinds()


@pytest.mark.suite
def test_every_kind_of_spec():
    original = each_kind_of_spec()
    env = make_env(original)
    spaces = Spaces(env.observation_space, env.action_space)  # all of them are supported
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    spaces.check_observation(observation)
    for step in range(3):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert (reward, terminated, truncated) == (2, False, step == 2)
    np.testing.assert_array_equal(env.action_space["push"].high, [1, 3])
    assert (env.action_space["steer"].start, env.action_space["steer"].n) == (-1, 3)
    env.close()
    assert original.closed


@pytest.mark.suite
def test_a_discount_of_zero_is_a_terminal():
    dm_env = pytest.importorskip("dm_env")

    class Once(dm_env.Environment):
        def observation_spec(self) -> Any:
            return dm_env.specs.Array((1,), np.float32)

        def action_spec(self) -> Any:
            return dm_env.specs.DiscreteArray(2)

        def reset(self) -> Any:
            return dm_env.restart(np.zeros(1, np.float32))

        def step(self, action: Any) -> Any:
            return dm_env.termination(reward=None, observation=np.zeros(1, np.float32))

    env = make_env(Once)
    env.reset()
    assert env.step(1)[1:4] == (0, True, False)


@pytest.mark.suite
def test_a_string_spec_is_refused():
    dm_env = pytest.importorskip("dm_env")
    env = each_kind_of_spec()
    env.observation_spec = lambda: {"words": dm_env.specs.StringArray(())}
    with pytest.raises(InputError, match="neither numbers nor classes"):
        make_env(env)


@pytest.mark.suite
def test_dm_env_environments_are_vectorized():
    pytest.importorskip("dm_env")
    with Environments(each_kind_of_spec, 2) as envs:
        envs.reset()
        action = {name: np.zeros((2, *kind.shape), kind.dtype) for name, kind in record_actions(envs).items()}
        ends = [envs.step(action).is_last.all() for _ in range(4)]
    assert ends == [False, False, True, False]


def record_actions(envs: Environments) -> dict[str, np.ndarray]:
    """An action of zeros for each key: the middle of a range, or the first class."""
    space = envs.spaces.action_space
    return {name: np.zeros(one.shape, np.float32 if one.dtype.kind == "f" else np.int32) for name, one in space.items()}


@pytest.mark.suite
def test_a_gym_environment_by_name_and_as_an_object():
    gym = pytest.importorskip("gym")
    mine = gym.make("MountainCar-v0", disable_env_checker=True)
    env = make_env(mine)
    first, _ = env.reset(seed=3)
    again, _ = make_env("openai_gym/MountainCar-v0").reset(seed=3)
    np.testing.assert_array_equal(first, again)
    for step in range(200):
        _, _, terminated, truncated, _ = env.step(1)
        assert not terminated
        assert truncated == (step == 199)


def before_026(ends: dict[str, Any]) -> type:
    """A class with the interface of Gym up to 0.25: `step` returns four values, `seed`, `render(mode)`.

    Args:
        ends: the info of the last step.
    """
    gym = pytest.importorskip("gym")

    class Old(gym.Env):
        metadata = {"render.modes": ["rgb_array"], "video.frames_per_second": 10}  # noqa: RUF012
        observation_space = gym.spaces.Tuple(
            [gym.spaces.Box(-1, 1, (2,)), gym.spaces.Dict({"at": gym.spaces.Discrete(3)})]
        )
        action_space = gym.spaces.MultiDiscrete([2, 3])

        def seed(self, seed: int | None = None) -> list[int | None]:
            self.seeded = seed
            return [seed]

        def reset(self) -> Any:
            self.steps = 0
            return np.zeros(2, np.float32), {"at": 1}

        def step(self, action: Any) -> Any:
            self.steps += 1
            return (np.zeros(2, np.float32), {"at": 2}), 1.0, self.steps == 2, ends if self.steps == 2 else {}

        def render(self, mode: str = "human") -> Any:
            return np.full((4, 4, 3), 7, np.uint8) if mode == "rgb_array" else None

    return Old


@pytest.mark.suite
@pytest.mark.parametrize(
    ("ends", "expected"), [({}, (True, False)), ({"TimeLimit.truncated": True}, (False, True))], ids=["died", "time"]
)
def test_an_environment_from_before_gym_026(ends, expected):
    env = make_env(before_026(ends))
    assert isinstance(env, FromOldGym)
    observation, info = env.reset(seed=5)
    assert env._env.seeded == 5
    assert env.observation_space.contains(observation)
    assert info == {}
    assert env.step(env.action_space.sample())[2:4] == (False, False)
    assert env.step(env.action_space.sample())[2:4] == expected
    assert env.render_mode == "rgb_array"
    assert env.render().shape == (4, 4, 3)
