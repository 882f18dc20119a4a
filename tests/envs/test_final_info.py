"""Numbers of the last info of each episode, in every mode."""

import sys
from typing import Any

import cloudpickle
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from reverie.envs import AnyEnvironments, Environments
from reverie.envs.batched import VectorEnvironments
from reverie.envs.final_info import numbers

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes cannot import this file


class Reporting(gym.Env[Any, Any]):
    """Episodes of 2 steps, whose infos tell the time, in various types."""

    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {"score": -1.0}

    def step(self, action: Any) -> Any:
        self.time += 1
        info = {"score": float(self.time), "is_success": self.time == 2, "kills": {"cow": np.int64(self.time)}}
        return np.zeros(2, np.float32), 0.0, self.time == 2, False, info


FINAL = {"score": 2.0, "is_success": 1.0, "kills/cow": 2.0}


def reported(envs: AnyEnvironments) -> list[dict[int, dict[str, float]]]:
    action = {"action": np.zeros(envs.num_envs, int)}
    envs.reset()
    found = [envs.final_info]
    for _ in range(5):
        envs.step(action)
        found.append(envs.final_info)
    return found


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_final_infos_arrive_with_the_last_step(mode: Any) -> None:
    with Environments(Reporting, 2, mode=mode) as envs:
        assert isinstance(envs, AnyEnvironments)
        assert reported(envs) == [{}, {}, {0: FINAL, 1: FINAL}, {}, {}, {0: FINAL, 1: FINAL}]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_final_infos_of_vector_envs(mode: AutoresetMode) -> None:
    with VectorEnvironments(SyncVectorEnv([Reporting, Reporting], autoreset_mode=mode)) as envs:
        assert isinstance(envs, AnyEnvironments)
        assert reported(envs) == [{}, {}, {0: FINAL, 1: FINAL}, {}, {}, {0: FINAL, 1: FINAL}]


def test_only_finite_numbers_are_kept() -> None:
    info = {
        "name": "x",
        "none": None,
        "nan": np.nan,
        "array": np.zeros(3),
        "zero": np.array(0),
        "jax": jnp.array(2, jnp.bfloat16),
        "big": 10**400,
        "word": np.array("3"),
        "pair": np.zeros((), [("a", int), ("b", int)]),
        "key": jax.random.key(0),
        3: True,
    }
    assert numbers(info) == {"zero": 0.0, "jax": 2.0, "3": 1.0}
    assert len(numbers({str(i): i for i in range(1000)})) == 100
