"""Gymnasium VectorEnvs with the interface of `Environments`: one stream of records per environment (section 1).

Gymnasium has three autoreset modes. NEXT_STEP spends a step on the reset, as `Environments` does. With SAME_STEP, the
step that ends an episode already returns the first observation of the next one, and the final observation is in the
info. With DISABLED, the caller resets. The last two yield one more record than there are steps: the extra record is
returned alone, while the other environments wait with their actions.

May import: `reverie.spaces`, `reverie.experience`, `reverie.errors`, `guard`, `interface`, `masks`, `seeds`;
Gymnasium.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from reverie.envs import final_info
from reverie.envs.guard import NOTHING_ALLOWED, BrokenEnvironmentError
from reverie.envs.interface import warn
from reverie.envs.masks import VectorMaskFromInfo, lacks_mask
from reverie.envs.seeds import seeds
from reverie.errors import InputError
from reverie.experience import Step, put, with_rows
from reverie.spaces import EVERYTHING, MASK, Keys
from reverie.spaces.values import LARGEST, as_array

Batch = dict[str, np.ndarray]  # key → (N, *shape), encoded for the networks


class VectorEnvironments:
    """The environments of a VectorEnv, with the attributes and methods of `Environments`.

    They cannot be restarted: an error of the VectorEnv ends the run, after saving it. If its actions could be masked,
    the VectorEnv is reset at once, because only its info shows whether they are.

    Args:
        env: a VectorEnv whose metadata name its autoreset mode.
        seed, held_out, keys: see `Environments`.

    Raises:
        InputError: the metadata do not name the autoreset mode.
        UnsupportedSpaceError: Reverie does not support the observation space or the action space.
    """

    def __init__(
        self, env: VectorEnv[Any, Any, Any], *, seed: int = 0, held_out: bool = False, keys: Keys | str = EVERYTHING
    ) -> None:
        self._env, self._seed, self._held_out = env, seed, held_out
        self._mode = env.metadata.get("autoreset_mode")
        if not isinstance(self._mode, AutoresetMode):
            raise InputError(
                f"{env} does not name its autoreset mode: metadata['autoreset_mode'] must be a "
                f"gymnasium.vector.AutoresetMode, got {self._mode!r}."
            )
        self.num_envs: int = env.num_envs
        peeked = None
        if lacks_mask(env.single_observation_space, env.single_action_space):
            peeked = env.reset(seed=seeds(seed, self.num_envs, held_out)[0])
            if MASK in peeked[1]:
                self._env = env = masked = VectorMaskFromInfo(env)
                peeked = masked.add_mask(*peeked)
        keys = keys if isinstance(keys, Keys) else Keys(keys)
        self.spaces = keys.spaces(env.single_observation_space, env.single_action_space)
        self.ready = np.ones(self.num_envs, bool)
        self.tell: Callable[[str], object] = warn
        self.failures = 0
        self.final_info: dict[int, dict[str, float]] = {}
        self._seeded = False
        self._peeked = peeked  # the first reset, if it was needed to look for a mask
        self._shown: Step | None = None  # the latest step
        self._action: Batch = {}  # the next action of each environment
        self._begun: Batch = {}  # first observations of the next episodes, which SAME_STEP returns early

    def reset(self, *, seed: Sequence[int] | None = None) -> Step:
        """Start an episode in every environment. Only the first call seeds them, unless `seed` is given."""
        new = None
        if seed is not None or not self._seeded:
            new = seeds(self._seed if seed is None else seed, self.num_envs, self._held_out)[0]  # Gymnasium counts up
        peeked, self._peeked = self._peeked, None
        if seed is not None or peeked is None:
            peeked = self._env.reset(seed=new)
        self._seeded, observation = True, peeked[0]
        self.final_info = {}
        everywhere, nowhere = np.ones(self.num_envs, bool), np.zeros(self.num_envs, bool)
        nothing = np.zeros(self.num_envs, np.float32)
        encoded = self._encoded(observation)
        self._check_mask(encoded, nowhere)
        return self._show(Step(encoded, nothing, everywhere, nowhere, nowhere))

    def step(self, action: Mapping[str, np.ndarray]) -> Step:
        """Apply one action in every environment, or start the next episodes of those that ended while others wait."""
        if self._shown is None:
            raise RuntimeError("call reset() before the first step()")
        if self.ready.all():
            self._action = dict(action)
        self._action = {key: put(self._action[key], self.ready, action[key][self.ready]) for key in action}
        ended = self._shown.is_last
        if self._mode is not AutoresetMode.NEXT_STEP and ended.any():
            return self._begin(ended)
        observation, reward, terminated, truncated, info = self._env.step(self.spaces.decode_action(self._action))
        encoded = self._encoded(observation)
        terminated = self._per_env("terminated", terminated).astype(bool)
        truncated = self._per_env("truncated", truncated).astype(bool)
        is_last = terminated | truncated
        self._check_mask(encoded, is_last & (self._mode is not AutoresetMode.SAME_STEP))
        self.final_info = self._final_info(info, is_last)
        if self._mode is AutoresetMode.SAME_STEP and is_last.any():
            self._begun, final = encoded, self._final(info, is_last)
            encoded = {key: put(value, is_last, final[key]) for key, value in encoded.items()}
        rewards = np.where(ended, 0, self._checked(reward)).astype(np.float32)
        return self._show(Step(encoded, rewards, ended.copy(), is_last, terminated))

    def _begin(self, ended: np.ndarray) -> Step:
        """Return the first observations of the environments that ended; the rows of the others are unchanged."""
        assert self._shown is not None
        self.final_info = {}
        if self._mode is AutoresetMode.DISABLED:
            observation, _ = self._env.reset(options={"reset_mask": ended.copy()})
            begun = self._encoded(observation, ended)
            self._check_mask(begun, np.zeros(int(ended.sum()), bool))
        else:
            begun = {key: value[ended] for key, value in self._begun.items()}
        count = int(ended.sum())
        first = Step(begun, np.zeros(count, np.float32), np.ones(count, bool), *np.zeros((2, count), bool))
        return self._show(with_rows(self._shown, ended, first), ended.copy())

    def _show(self, step: Step, ready: np.ndarray | None = None) -> Step:
        self.ready = np.ones(self.num_envs, bool) if ready is None else ready
        self._shown = step
        return step

    def _encoded(self, observation: Any, rows: Any = slice(None)) -> Batch:
        try:
            return self.spaces.encode_observation(observation, rows)
        except ValueError as error:
            raise BrokenEnvironmentError(str(error)) from error

    def _check_mask(self, encoded: Batch, is_last: np.ndarray) -> None:
        mask = self.spaces.mask
        if mask is not None and not np.all(encoded[mask].any(-1) | is_last):
            raise BrokenEnvironmentError(f"{self._env}: {NOTHING_ALLOWED}")

    def _final(self, info: Mapping[str, Any], is_last: np.ndarray) -> Batch:
        """The final observations, one row per ended episode: Gymnasium returns a list, other packages a batch."""
        if "final_obs" not in info:
            raise BrokenEnvironmentError(f"{self._env} ended an episode in SAME_STEP mode without info['final_obs'].")
        final = info["final_obs"]
        if isinstance(final, np.ndarray) and final.dtype == object:
            space, last = self._env.single_observation_space, list(final[is_last])
            batch: Any = create_empty_array(space, len(last))
            return self._encoded(concatenate(space, last, batch))
        return self._encoded(final, is_last)

    def _final_info(self, info: Mapping[str, Any], is_last: np.ndarray) -> dict[int, dict[str, float]]:
        """The numbers of the last infos of the episodes that ended."""
        if not is_last.any():
            return {}
        final: Any = info.get("final_info", info) if self._mode is AutoresetMode.SAME_STEP else info
        found = {}
        for index in np.flatnonzero(is_last).tolist():
            is_list = isinstance(final, np.ndarray | list | tuple)  # one info per environment
            found[index] = final_info.numbers(final[index] or {}) if is_list else final_info.row(final, index)
        return {index: numbers for index, numbers in found.items() if numbers}

    def _checked(self, reward: Any) -> np.ndarray:
        rewards = self._per_env("the rewards", reward)
        if rewards.dtype.kind not in "biuf" or not np.all(np.abs(rewards.astype(np.float64)) <= LARGEST):
            raise BrokenEnvironmentError(f"{self._env} must return {self.num_envs} finite rewards, got {reward!r}.")
        return rewards

    def _per_env(self, what: str, values: Any) -> np.ndarray:
        """One value for each environment, as a NumPy array; tensors on other devices are copied."""
        try:
            found = as_array(what, values)
        except ValueError as error:
            raise BrokenEnvironmentError(f"{self._env}: {error}") from error
        if found.shape != (self.num_envs,):
            raise BrokenEnvironmentError(
                f"{self._env} returned {what} in the shape {found.shape}, expected ({self.num_envs},)."
            )
        return found

    def cancel(self) -> None:
        """Does nothing: a VectorEnv is never restarted."""

    @property
    def render_fps(self) -> object:
        """The frame rate in the metadata of the environments, unchecked."""
        return self._env.metadata.get("render_fps")

    def render_frame(self, index: int = 0) -> np.ndarray:
        """An image of environment `index`: uint8, (height, width, 3)."""
        if self._env.render_mode != "rgb_array":
            raise InputError(
                f"The VectorEnv has the render mode {self._env.render_mode!r}: create it with render_mode='rgb_array'."
            )
        frames = self._env.render()
        assert frames is not None
        return np.array(frames[index])

    def state(self) -> None:
        """None: a VectorEnv cannot save its state."""

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        """False: a VectorEnv cannot resume from a state."""
        return False

    def close(self) -> None:
        """Close the VectorEnv."""
        self._env.close()

    def __enter__(self) -> VectorEnvironments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
