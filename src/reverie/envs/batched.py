"""Vector environments that others have made, as `Environments` shows its own: section 1's records, one stream each.

Gymnasium knows three ways to go on after an episode. NEXT_STEP spends a step on it, as `Environments` does. With
SAME_STEP the step that ends an episode already shows the next one and has the final observation aside; with DISABLED
one asks for the next. There is one record more than there are steps then: it is shown alone, while the others wait
with their actions.

May import: `reverie.spaces`, `reverie.experience`, `reverie.errors`, `.guard`; Gymnasium.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from reverie.envs.guard import BrokenEnvironmentError
from reverie.envs.seeds import seeds
from reverie.errors import InputError
from reverie.experience import Step, put, with_rows
from reverie.spaces import EVERYTHING, Spaces, choose
from reverie.spaces.values import LARGEST

Batch = dict[str, np.ndarray]  # key → (N, *shape), as the networks see it


class VectorEnvironments:
    """The environments of a VectorEnv; attributes and methods are those of `Environments`.

    None of them can be made anew: what the VectorEnv raises ends the run, which is saved.

    Args:
        env: whose metadata say how its episodes follow each other.
        seed, held_out, keys: see `Environments`.

    Raises:
        InputError: it doesn't say how its episodes follow each other.
        UnsupportedSpaceError: Reverie can't learn from its observations or act in its action space.
    """

    def __init__(
        self, env: VectorEnv[Any, Any, Any], *, seed: int = 0, held_out: bool = False, keys: str = EVERYTHING
    ) -> None:
        self._env, self._seed, self._held_out = env, seed, held_out
        self._mode = env.metadata.get("autoreset_mode")
        if not isinstance(self._mode, AutoresetMode):
            raise InputError(
                f"{env} does not say how an episode follows the one before: its metadata['autoreset_mode'] must be a "
                f"gymnasium.vector.AutoresetMode, got {self._mode!r}"
            )
        self.num_envs: int = env.num_envs
        self.spaces = Spaces(choose(env.single_observation_space, keys), env.single_action_space)
        self.ready = np.ones(self.num_envs, bool)
        self.tell: Callable[[str], object] = lambda sentence: None
        self.failures = 0
        self._seeded = False
        self._shown: Step | None = None  # the last step
        self._action: Batch = {}  # what each environment is to do next
        self._begun: Batch = {}  # of those that have ended, what SAME_STEP already shows of the next episode

    def reset(self, *, seed: Sequence[int] | None = None) -> Step:
        """Start an episode in every environment. The first call seeds them, later ones go on from there."""
        new = None
        if seed is not None or not self._seeded:
            new = seeds(self._seed if seed is None else seed, self.num_envs, self._held_out)[0]  # the others count on
        self._seeded = True
        observation, _ = self._env.reset(seed=new)
        everywhere, nowhere = np.ones(self.num_envs, bool), np.zeros(self.num_envs, bool)
        nothing = np.zeros(self.num_envs, np.float32)
        return self._show(Step(self._encoded(observation), nothing, everywhere, nowhere, nowhere))

    def step(self, action: Mapping[str, np.ndarray]) -> Step:
        """Do one action in every environment, or begin anew those that have ended while the others wait."""
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
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        is_last = terminated | truncated
        if self._mode is AutoresetMode.SAME_STEP and is_last.any():
            self._begun, final = encoded, self._final(info, is_last)
            encoded = {key: put(value, is_last, final[key]) for key, value in encoded.items()}
        rewards = np.where(ended, 0, self._checked(reward)).astype(np.float32)
        return self._show(Step(encoded, rewards, ended.copy(), is_last, terminated))

    def _begin(self, ended: np.ndarray) -> Step:
        """The first observations of those that have ended; the others stay as they are."""
        assert self._shown is not None
        if self._mode is AutoresetMode.DISABLED:
            observation, _ = self._env.reset(options={"reset_mask": ended.copy()})
            begun = self._encoded(observation, ended)
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

    def _final(self, info: Mapping[str, Any], is_last: np.ndarray) -> Batch:
        """The final observations, one row for each that ended: Gymnasium gives a list of them, others a batch."""
        if "final_obs" not in info:
            raise BrokenEnvironmentError(f"{self._env} ended an episode in SAME_STEP mode without info['final_obs']")
        final = info["final_obs"]
        if isinstance(final, np.ndarray) and final.dtype == object:
            space, last = self._env.single_observation_space, list(final[is_last])
            batch: Any = create_empty_array(space, len(last))
            return self._encoded(concatenate(space, last, batch))
        return self._encoded(final, is_last)

    def _checked(self, reward: Any) -> np.ndarray:
        rewards = np.asarray(reward, np.float64)
        if rewards.shape != (self.num_envs,) or not np.all(np.abs(rewards) <= LARGEST):
            raise BrokenEnvironmentError(f"expected {self.num_envs} finite rewards, got {reward!r}")
        return rewards

    def cancel(self) -> None:
        """Nothing is made anew."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the environments, such as `render_fps`."""
        return self._env.metadata

    def render_frame(self, index: int = 0) -> np.ndarray:
        """What environment `index` looks like now: uint8, (height, width, 3)."""
        if self._env.render_mode != "rgb_array":
            raise InputError(f"the render mode is {self._env.render_mode!r}: make it with render_mode='rgb_array'")
        frames = self._env.render()
        assert frames is not None
        return np.array(frames[index])

    def state(self) -> None:
        """A VectorEnv can't say where it stands."""

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        """Nor go on from there."""
        return False

    def close(self) -> None:
        """Close the VectorEnv."""
        self._env.close()

    def __enter__(self) -> VectorEnvironments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
