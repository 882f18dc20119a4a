"""The world model as a Gymnasium environment: an episode starts at a recorded moment and continues in imagination.

May import: `agent` and below, `dreamer`, `model` and `moments` of this room; Gymnasium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from reverie.agent import Agent
from reverie.dreams.dreamer import Dreamer
from reverie.dreams.model import DreamModel, Prediction, predict
from reverie.dreams.moments import Moment
from reverie.errors import InputError
from reverie.learner import Networks, compute_dtype
from reverie.nn import compute_cast
from reverie.spaces import Image, masks
from reverie.world_model import Latent

HORIZON = 64  # steps until an episode is truncated
MOMENTS = 64  # recorded moments that episodes start from


class DreamVectorEnv(VectorEnv[Any, Any, Any]):
    """N environments whose dynamics are an agent's world model, advanced as one batch.

    A reset draws recorded moments and returns their real observations. Each step samples the next state and returns
    the model's predictions: the observation in the environment's units, the reward, and whether the episode ends,
    drawn with the probability that the model gives. After `horizon` steps an episode is truncated.

    Gymnasium's vector interface, with autoreset in the next step.

    Args:
        agent: whose world model imagines.
        moments: where episodes start.
        num_envs: N.
        horizon: steps until an episode is truncated.
        render_mode: "rgb_array" shows the first image that the model predicts, or None.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012, Gymnasium's convention
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 15,
    }

    def __init__(
        self,
        agent: Agent,
        moments: Sequence[Moment],
        num_envs: int = 16,
        *,
        horizon: int = HORIZON,
        render_mode: str | None = None,
    ) -> None:
        for name, number in (("num_envs", num_envs), ("horizon", horizon)):
            if number < 1:
                raise InputError(f"{name} must be at least 1, got {number}.")
        if not moments:
            raise InputError("A dream needs at least one moment to start from.")
        model = DreamModel(agent)
        self._spaces, self._networks = model.spaces, agent.networks
        self._advance = partial(
            _advance, discount=agent.config.behaviour.discount, dtype=compute_dtype(agent.config.model)
        )
        self._image = next((key for key, one in self._spaces.observation.items() if isinstance(one, Image)), None)
        if render_mode is not None and (render_mode != "rgb_array" or self._image is None):
            raise InputError(f"render_mode {render_mode!r} is not possible: a dream of images can render 'rgb_array'.")
        self.num_envs, self.horizon, self.render_mode = num_envs, horizon, render_mode
        self.single_observation_space, self.single_action_space = (
            self._spaces.observation_space,
            self._spaces.action_space,
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        # Every episode starts from one of these, leaves (M, …).
        self._starts = jax.tree.map(lambda *rows: jnp.concatenate(rows), *map(model.remember, moments))
        self._shown = {
            key: np.stack([moment.records.observation[key][moment.start] for moment in moments])
            for key in self._spaces.observation
        }
        self._ended = np.ones(num_envs, bool)  # the next step begins an episode

    @classmethod
    def load(cls, run: str | Path, *, moments: int = MOMENTS, seed: int = 0, **kwargs: Any) -> DreamVectorEnv:
        """Dream with a run's newest readable checkpoint.

        Args:
            run: the run's folder.
            moments: how many recorded moments to draw from its replay buffer.
            seed: seeds the draw.
            **kwargs: passed to the constructor.

        Raises:
            InputError: see `Dreamer.load`.
        """
        dreamer = Dreamer.load(run, moments=moments, seed=seed)
        return cls(dreamer.agent, dreamer.moments, **kwargs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in every environment. Of a list of seeds, all decide the one random generator."""
        if isinstance(seed, list):
            numbers = [number for number in seed if number is not None]
            seed = int(np.random.SeedSequence(numbers).generate_state(1)[0]) if numbers else None
        super().reset(seed=seed)
        self._key = jax.random.key(int(self.np_random.integers(2**31)))
        self._latent = jax.tree.map(lambda x: jnp.zeros((self.num_envs, *x.shape[1:]), x.dtype), self._starts)
        self._time, self._steps = np.zeros(self.num_envs, int), 0
        self._ended = np.ones(self.num_envs, bool)
        observation, *_ = self._step(self._spaces.zero_action(self.num_envs))
        return observation, {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply one action per environment; where an episode has ended, begin the next one instead.

        Raises:
            ValueError: the actions do not fit the action space.
        """
        return *self._step(self._spaces.encode_action(actions)), {}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The predicted image of each environment, uint8 (height, width, 3)."""
        if self.render_mode is None or self._image is None:
            return None
        return tuple(_as_rgb(image) for image in self._features[self._image])

    def _step(self, action: Mapping[str, np.ndarray]) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        begins = self._ended
        chosen = self.np_random.integers(len(self._starts.deter), size=self.num_envs)
        self._latent, predicted, ends = self._advance(
            self._networks, self._starts, self._latent, action, begins, chosen, self._key, self._steps
        )
        self._steps += 1
        predicted, ends = jax.device_get((predicted, ends))
        self._features = {
            key: np.where(_like(begins, x), self._shown[key][chosen], x) for key, x in predicted.observation.items()
        }
        self._time = np.where(begins, 0, self._time + 1)
        terminated = ends & ~begins
        truncated = ~terminated & ~begins & (self._time >= self.horizon)
        self._ended = terminated | truncated
        observation = self._spaces.decode_observation(self._features)
        return observation, np.where(begins, 0, predicted.reward).astype(np.float64), terminated, truncated


class DreamEnv(gym.Env[Any, Any]):
    """One environment whose dynamics are an agent's world model; see `DreamVectorEnv` for the arguments."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012, Gymnasium's convention

    def __init__(
        self, agent: Agent, moments: Sequence[Moment], *, horizon: int = HORIZON, render_mode: str | None = None
    ) -> None:
        self._vector = DreamVectorEnv(agent, moments, 1, horizon=horizon, render_mode=render_mode)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space
        self.render_mode = render_mode

    @classmethod
    def load(cls, run: str | Path, *, moments: int = MOMENTS, seed: int = 0, **kwargs: Any) -> DreamEnv:
        """Dream with a run's newest readable checkpoint; see `DreamVectorEnv.load`."""
        dreamer = Dreamer.load(run, moments=moments, seed=seed)
        return cls(dreamer.agent, dreamer.moments, **kwargs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start at a recorded moment; returns its real observation."""
        super().reset(seed=seed)
        observation, _ = self._vector.reset(seed=seed)
        return _first(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Imagine the outcome of an action."""
        batched = jax.tree.map(lambda x: np.asarray(x)[None], action)
        observation, reward, terminated, truncated, _ = self._vector.step(batched)
        return _first(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray | None:
        """The predicted image, uint8 (height, width, 3)."""
        frames = self._vector.render()
        return frames[0] if frames else None


@partial(jax.jit, static_argnames=("discount", "dtype"))
def _advance(
    networks: Networks,
    starts: Latent,
    latent: Latent,
    action: Mapping[str, Array],
    begins: Bool[Array, " n"],
    chosen: Int[Array, " n"],
    key: PRNGKeyArray,
    steps: int | Array,
    *,
    discount: float,
    dtype: Any,
) -> tuple[Latent, Prediction, Bool[Array, " n"]]:
    """The next states, what is predicted in them, and which episodes end; where `begins`, the chosen starts."""
    networks = compute_cast(networks, dtype)
    step_key, end_key = jax.random.split(jax.random.fold_in(key, steps))
    imagined = networks.world_model.imagine(latent, action, step_key)
    latent = jax.tree.map(
        lambda start, x: jnp.where(_like(begins, x), start[chosen], x.astype(jnp.float32)), starts, imagined
    )
    predicted = predict(networks, latent, discount=discount)
    allowed = networks.world_model.allowed(latent)  # at least one action, unlike the decoded mask
    shown = {mask: allowed[name].astype(jnp.int32) for name, mask in masks(dict(networks.world_model.actions)).items()}
    predicted = predicted._replace(observation={**predicted.observation, **shown})
    return latent, predicted, ~jax.random.bernoulli(end_key, predicted.cont)


def _like(rows: Any, x: Any) -> Any:
    """(N,) in the number of axes of `x`."""
    return rows.reshape((-1,) + (1,) * (x.ndim - 1))


def _first(observation: Any) -> Any:
    return jax.tree.map(lambda x: x[0], observation)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """(height, width, channels) with three channels: the last three of stacked frames, or gray three times."""
    return image[..., -3:] if image.shape[-1] >= 3 else np.repeat(image[..., -1:], 3, axis=-1)
