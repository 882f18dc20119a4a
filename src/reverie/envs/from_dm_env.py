"""An adapter from `dm_env.Environment` to Gymnasium. Does not import dm_env itself.

May import: `errors`; Gymnasium.
"""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.errors import InputError

FILM = 240  # pixels


class FromDMEnv(gym.Env[Any, Any]):
    """A `dm_env.Environment` as a Gymnasium environment: a last step with discount 0 terminates, any other truncates.

    Args:
        env: the environment; floats are observed as float32, everything else keeps its dtype.
        remake: creates the environment from a seed, since the interface has no other way to seed one. Without it,
            seeds are ignored and seeding is up to the caller.
        render_mode: "rgb_array" for frames, available only for environments with MuJoCo physics.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 40}  # noqa: RUF012, Gymnasium's convention

    def __init__(self, env: Any, *, remake: Callable[[int], Any] | None = None, render_mode: str | None = None) -> None:
        self._env, self._remake = env, remake
        self._action_spec = env.action_spec()
        self.render_mode = render_mode if hasattr(env, "physics") else None
        self.observation_space = observed(env.observation_spec())
        self.action_space = acted(self._action_spec)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None and self._remake:
            self._env = self._remake(seed)
        return self._observe(self._env.reset()), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        time_step = self._env.step(_as_specified(self._action_spec, action))
        last, terminal = time_step.last(), time_step.discount == 0
        reward = 0.0 if time_step.reward is None else time_step.reward
        return self._observe(time_step), reward, last and terminal, last and not terminal, {}

    def render(self) -> Any:
        return self._env.physics.render(FILM, FILM, camera_id=0) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self._env.close()

    def _observe(self, time_step: Any) -> Any:
        return _as_observed(self.observation_space, time_step.observation)


def observed(spec: Any) -> gym.Space[Any]:
    """The Gymnasium space of an observation spec.

    Raises:
        InputError: the spec is not an array of numbers, for example a string.
    """
    if isinstance(spec, Mapping):
        return gym.spaces.Dict({name: observed(one) for name, one in spec.items()})
    if isinstance(spec, list | tuple):
        return gym.spaces.Tuple([observed(one) for one in spec])
    if hasattr(spec, "num_values"):
        return gym.spaces.Discrete(int(spec.num_values))
    kind = np.dtype(spec.dtype).kind
    if kind not in "fiub":
        raise InputError(
            f"The environment has the spec {spec}, which holds neither numbers nor classes: remove it with a wrapper."
        )
    if kind == "b":
        return gym.spaces.MultiBinary(spec.shape) if spec.shape else gym.spaces.Discrete(2)
    return _box(spec, np.dtype(np.float32) if kind == "f" else np.dtype(spec.dtype))


def acted(spec: Any) -> gym.Space[Any]:
    """The Gymnasium space of an action spec; bounded integers become classes."""
    if isinstance(spec, Mapping):
        return gym.spaces.Dict({name: acted(one) for name, one in spec.items()})
    if isinstance(spec, list | tuple):
        return gym.spaces.Tuple([acted(one) for one in spec])
    if hasattr(spec, "minimum") and not hasattr(spec, "num_values") and np.dtype(spec.dtype).kind in "iu":
        low = np.broadcast_to(spec.minimum, spec.shape).astype(np.int64)
        count = np.broadcast_to(spec.maximum, spec.shape).astype(np.int64) - low + 1
        if spec.shape:
            return gym.spaces.MultiDiscrete(count, start=low)
        return gym.spaces.Discrete(int(count), start=int(low))
    return observed(spec)


def _box(spec: Any, dtype: np.dtype[Any]) -> gym.spaces.Box:
    usual = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = getattr(spec, "minimum", usual[0]), getattr(spec, "maximum", usual[1])
    return gym.spaces.Box(
        np.broadcast_to(low, spec.shape).astype(dtype),
        np.broadcast_to(high, spec.shape).astype(dtype),
        spec.shape,
        dtype.type,
    )


def _as_observed(space: gym.Space[Any], value: Any) -> Any:
    match space:
        case gym.spaces.Dict():
            return {name: _as_observed(one, value[name]) for name, one in space.items()}
        case gym.spaces.Tuple():
            return tuple(_as_observed(one, part) for one, part in zip(space, value, strict=True))
        case gym.spaces.Discrete():
            return int(value)
    return np.asarray(value, space.dtype)


def _as_specified(spec: Any, action: Any) -> Any:
    if isinstance(spec, Mapping):
        return {name: _as_specified(one, action[name]) for name, one in spec.items()}
    if isinstance(spec, list | tuple):
        return type(spec)(_as_specified(one, part) for one, part in zip(spec, action, strict=True))
    return np.dtype(spec.dtype).type(action) if not spec.shape else np.asarray(action, spec.dtype)
