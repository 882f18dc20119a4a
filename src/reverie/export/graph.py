"""One step of a policy as a function of named arrays, in the environment's own terms.

May import: `agent` and below.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from reverie.agent import Agent
from reverie.distributions import BoundedNormal, Categorical
from reverie.spaces import DTYPES, Discrete, Leaf, by_array_name, nest, traced
from reverie.world_model import Latent

Arrays = Mapping[str, Any]


class Port(NamedTuple):
    """An input or output; every array has a leading axis N, one row per environment."""

    name: str
    shape: tuple[int, ...]  # of a row
    dtype: np.dtype
    meaning: str


class Graph:
    """One step of an agent's policy: observe, update the state, and choose an action.

    Inputs and outputs are named after the keys of the spaces. All preprocessing is part of the graph: images are laid
    out and scaled, classes counted from the space's start, actions mapped to their bounds. It computes in float32.

    Args:
        agent: whose policy it is.
        deterministic: choose the most likely state and action. Otherwise both are drawn with the help of noise, which
            is an input.

    Attributes:
        inputs: the observation, whether an episode begins, the state and, for samples, noise.
        outputs: the action, and the state for the next step.
    """

    def __init__(self, agent: Agent, *, deterministic: bool = True) -> None:
        self.agent, self.deterministic = agent, deterministic
        self.spaces = agent.spaces.select(agent.config.model.encoder_keys)
        self._seen = by_array_name("observation", self.spaces.observation_leaves)
        self._acted = by_array_name("action", self.spaces.action_leaves)
        state = self._state("state", "of the previous step; any values where is_first")
        self.inputs = [
            *(_port(name, leaf, "observation") for name, leaf in self._seen.items()),
            Port("is_first", (), np.dtype(bool), "whether this is the first observation of an episode"),
            *state,
            *([] if deterministic else self._noise()),
        ]
        self.outputs = [
            *(_port(name, leaf, "action") for name, leaf in self._acted.items()),
            *self._state("next", "to pass as the state of the next step"),
        ]

    def __call__(self, *arrays: Array) -> list[Array]:
        """The outputs for the inputs, in their order. Can be traced by JAX."""
        given = dict(zip((port.name for port in self.inputs), arrays, strict=True))
        networks = self.agent.networks
        model = networks.world_model
        values = {leaf.path: given[name] for name, leaf in self._seen.items()}
        observation = traced.encode_observation(self.spaces, nest(self.spaces.observation_space, values))
        # An episode that begins here forgets what came before.
        keep = 1 - given["is_first"].astype(jnp.float32)
        latent = Latent(given["state/deter"] * keep[:, None], given["state/stoch"] * keep[:, None, None])
        previous = {key: given[f"state/{name}"] for name, key in self._keys().items()}
        deter = model.rssm.next_deter(latent, model.encode_actions(previous) * keep[:, None])
        posterior = model.rssm.posterior(deter, model.encoder(observation))
        chosen = posterior.mode() if self.deterministic else posterior.pick(given["noise/stoch"])
        latent = Latent(deter, jax.nn.one_hot(chosen, posterior.classes))
        parts = networks.actor(latent.features, model.allowed_by(observation)).parts
        action = {key: self._choose(parts[key], given.get(f"noise/{name}")) for name, key in self._keys().items()}
        acted = traced.decode_action(self.spaces, action)
        return [
            *(leaf.pick(acted, "action") for leaf in self._acted.values()),
            latent.deter,
            latent.stoch,
            *(action[key] for key in self._keys().values()),
        ]

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        """The state inputs for the first step of N = `count` episodes: zeros."""
        return {
            port.name: np.zeros((count, *port.shape), port.dtype)
            for port in self.inputs
            if port.name.startswith("state/")
        }

    def named_observation(self, observation: Any) -> dict[str, np.ndarray]:
        """A batch of the environment's observations as inputs."""
        dtypes = {port.name: port.dtype for port in self.inputs}
        return {name: np.asarray(leaf.pick(observation)).astype(dtypes[name]) for name, leaf in self._seen.items()}

    def environment_action(self, outputs: Arrays) -> Any:
        """The action among the outputs in the structure and dtypes of the action space."""
        values = {leaf.path: np.asarray(outputs[name]).astype(leaf.space.dtype) for name, leaf in self._acted.items()}
        return nest(self.spaces.action_space, values)

    def draw_noise(self, generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """Noise inputs for N = `count` rows; none if the graph is deterministic."""
        found = {}
        for port in self.inputs:
            if port.name.startswith("noise/"):
                draw = generator.random if "uniform" in port.meaning else generator.standard_normal
                found[port.name] = draw((count, *port.shape)).astype(port.dtype)
        return found

    def _keys(self) -> dict[str, str]:
        """The actions' keys by the names of their arrays."""
        return dict(zip(self._acted, self.spaces.action_leaves, strict=True))

    def _state(self, prefix: str, meaning: str) -> list[Port]:
        model, features = self.agent.config.model, self.spaces.action
        return [
            Port(f"{prefix}/deter", (model.deter,), np.dtype(np.float32), meaning),
            Port(f"{prefix}/stoch", (model.groups, model.classes), np.dtype(np.float32), meaning),
            *(
                Port(f"{prefix}/{name}", features[key].shape, np.dtype(DTYPES[type(features[key])]), meaning)
                for name, key in self._keys().items()
            ),
        ]

    def _noise(self) -> list[Port]:
        """Uniform numbers for classes, and normal ones for numbers."""
        uniform, normal = "uniform random numbers from 0 to 1", "standard normal random numbers"
        ports = [Port("noise/stoch", (self.agent.config.model.groups,), np.dtype(np.float32), uniform)]
        for name, key in self._keys().items():
            feature = self.spaces.action[key]
            meaning = uniform if isinstance(feature, Discrete) else normal
            ports.append(Port(f"noise/{name}", feature.shape, np.dtype(np.float32), meaning))
        return ports

    def _choose(self, part: Categorical | BoundedNormal, noise: Array | None) -> Array:
        if noise is None:
            return part.sample(None)
        return part.pick(noise) if isinstance(part, Categorical) else part.mean + part.std * noise


def _port(name: str, leaf: Leaf, meaning: str) -> Port:
    """An array of the environment's, with 32 bits at most, in which JAX computes."""
    return Port(name, leaf.space.shape or (), np.dtype(jax.dtypes.canonicalize_dtype(leaf.space.dtype)), meaning)


def as_outputs(graph: Graph, arrays: Sequence[Any]) -> dict[str, np.ndarray]:
    """The outputs by name."""
    return {port.name: np.asarray(x) for port, x in zip(graph.outputs, arrays, strict=True)}
