"""An adapter from Gym, Gymnasium's predecessor, in any version of its interface. Does not import Gym itself.

May import: `errors`; Gymnasium.
"""

import inspect
from typing import Any

import gymnasium as gym

from reverie.errors import InputError


class FromOldGym(gym.Env[Any, Any]):
    """A `gym.Env` as a Gymnasium environment; before Gym 0.26, "TimeLimit.truncated" in the info marks truncation.

    Args:
        env: the environment. It renders frames if it was made with a render mode or, before Gym 0.26, if it supports
            "rgb_array".
    """

    def __init__(self, env: Any) -> None:
        self._env = env
        self._seeded_by_reset = _takes_seed(env.unwrapped.reset)
        metadata = dict(getattr(env, "metadata", None) or {})
        self.metadata = {"render_fps": metadata.get("video.frames_per_second", 30), **metadata}
        self._drawn_by_mode = getattr(env, "render_mode", None) is None and "rgb_array" in metadata.get(
            "render.modes", ()
        )
        self.render_mode = "rgb_array" if self._drawn_by_mode else getattr(env, "render_mode", None)
        self.observation_space = _space(env.observation_space)
        self.action_space = _space(env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None:
            shown = self._env.reset()
        elif self._seeded_by_reset:
            shown = self._env.reset(seed=seed)
        else:
            self._env.seed(seed)
            shown = self._env.reset()
        with_info = self._seeded_by_reset and isinstance(shown, tuple) and isinstance(shown[-1], dict)
        return shown if with_info else (shown, {})  # type: ignore[return-value]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, *ends, info = self._env.step(action)
        if len(ends) == 2:
            return observation, reward, *ends, info  # type: ignore[return-value]
        truncated = ends[0] and info.get("TimeLimit.truncated", False)
        return observation, reward, ends[0] and not truncated, truncated, info

    def render(self) -> Any:
        return self._env.render(mode="rgb_array") if self._drawn_by_mode else self._env.render()

    def close(self) -> None:
        self._env.close()


def _takes_seed(reset: Any) -> bool:
    parameters = inspect.signature(reset).parameters.values()
    return any(one.name == "seed" or one.kind is one.VAR_KEYWORD for one in parameters)


def _space(space: Any) -> gym.Space[Any]:
    """The equivalent Gymnasium space, found by the name of the space's class or of one of its base classes.

    Raises:
        InputError: Gymnasium has no equivalent.
    """
    if isinstance(space, gym.Space):
        return space
    for kind in type(space).__mro__:
        match kind.__name__:
            case "Box":
                return gym.spaces.Box(space.low, space.high, space.shape, space.dtype.type)
            case "Discrete":
                return gym.spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
            case "MultiDiscrete":
                return gym.spaces.MultiDiscrete(space.nvec)
            case "MultiBinary":
                return gym.spaces.MultiBinary(space.n)
            case "Tuple":
                return gym.spaces.Tuple([_space(one) for one in space.spaces])
            case "Dict":
                return gym.spaces.Dict({name: _space(one) for name, one in space.spaces.items()})
    raise InputError(f"The Gym environment has the unsupported space {space}: replace it with a wrapper.")
