"""`Agent`: acts in an environment's own terms, and is saved and loaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from reverie.agent.acting import Carry, Keys, evaluate_carry, initial_carry, policy_step
from reverie.agent.saved import FORMAT, CheckpointChoice, networks_like, read_description, read_networks
from reverie.behaviour import Actor
from reverie.config import Config, config_to_dict
from reverie.errors import InputError
from reverie.learner import Learner, Networks, compute_dtype
from reverie.spaces import Discrete, Feature, Spaces
from reverie.spaces.leaves import nest
from reverie.spaces.values import as_array
from reverie.storage import DamagedFileError, Json, as_tree, copied, read_arrays, write_arrays, write_text
from reverie.text import counted
from reverie.world_model import WorldModel

PARAMETERS = "networks.safetensors"


class ActionDetails(NamedTuple):
    """What the agent thinks of the action that it has just chosen, one row per environment."""

    value: np.ndarray  # (N,): the return that the critic expects from here
    log_prob: np.ndarray  # (N,): of the chosen action, over all action keys
    entropy: dict[str, np.ndarray]  # action key → (N,): of the policy, in nats
    policy: dict[str, dict[str, np.ndarray]]
    """Action key → the policy's parameters: `probabilities` (N, *shape, classes) of a discrete action; `mean` and `std`
    (N, *shape) of a continuous one, where -1 and 1 are the bounds of the action space."""


class Agent:
    """An agent for an environment's spaces, fresh or trained.

    Attributes:
        spaces: its observations and actions, as Gymnasium spaces.
        config: the configuration that it was made with.
        networks: all parameters, a pytree.
        source: what it was loaded from, in words; None for an agent that was not loaded.
    """

    def __init__(self, spaces: Spaces, config: Config | None = None, *, networks: Networks | None = None) -> None:
        """Make an agent with the given networks, or with fresh ones initialized from `config.seed`."""
        if not isinstance(spaces, Spaces):
            raise InputError(
                f"An agent is made for Spaces, got {spaces!r}: use Spaces.from_env(env), of reverie.spaces; Agent.load "
                "reads a trained agent."
            )
        self.spaces = spaces
        self.config = config or Config()
        self.source: str | None = None
        if networks is None:
            learner = Learner(spaces.observation, spaces.action, self.config)
            networks = learner.fresh(Keys.of(self.config.seed).init).networks
        self.networks = networks
        # Observations that are only predicted may be missing when it acts.
        self._seen = spaces.select(self.config.model.encoder_keys)

    def __repr__(self) -> str:
        model = self.config.model
        size = f"deter {model.deter}, {model.groups}×{model.classes} classes, units {model.units}"
        observed, acted = _listed(self.spaces.observation), _listed(self.spaces.action)
        source = f", loaded from {self.source}" if self.source else ""
        return f"<Agent: {observed} → {acted}; {self.networks.parameter_count:,} parameters ({size}){source}>"

    @property
    def world_model(self) -> WorldModel:
        """The world model: `observe`, `imagine`, `decode`, `reward`, `cont`."""
        return self.networks.world_model

    @property
    def actor(self) -> Actor:
        """The policy network, a function of a latent's `features`."""
        return self.networks.actor

    def initial_carry(self, batch_size: int = 1, seed: int = 0) -> Carry:
        """The carry for the first `act` of an episode, for `batch_size` environments; `seed` decides the samples."""
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        return initial_carry(self.networks, batch_size, jax.random.key(seed))

    def act(
        self,
        observation: Any,
        carry: Carry,
        *,
        deterministic: bool = False,
        is_first: Any = None,
    ) -> tuple[Any, Carry]:
        """Choose an action.

        Args:
            observation: as an environment returns it, or as a vector environment returns it for the N rows of the
                carry. Lists and Python numbers may take the place of arrays. Keys that the encoder does not use may be
                missing.
            carry: from `initial_carry` or the previous call.
            deterministic: choose the most likely action instead of a sample.
            is_first: (N,), which rows begin an episode; those forget what came before.

        Returns:
            The action in the structure, dtype and bounds of the action space (with a leading axis if the observation
            has one), and the carry for the next call. `details` tells more about the action.

        Raises:
            ValueError: the observation does not fit the spaces, or has another number of rows than the carry.
        """
        if not isinstance(carry, Carry):
            raise InputError(f"carry must come from initial_carry() or the last act(), got a {type(carry).__name__}.")
        rows = carry.latent.deter.shape[0]
        observation = _as_arrays(self._seen, observation)
        single = rows == 1 and self._seen.is_single(observation)
        if single:
            observation = jax.tree.map(lambda x: x[None], observation)
        encoded = self._seen.encode_observation(observation)
        got = len(next(iter(encoded.values())))
        if got != rows:
            raise InputError(
                f"The observation has {counted(got, 'row')}, but the carry has {counted(rows, 'row')}; begin with "
                f"initial_carry({got})."
            )
        first = np.zeros(rows, bool) if is_first is None else np.asarray(is_first, bool).reshape(-1)
        if len(first) != rows:
            raise InputError(f"is_first has {counted(len(first), 'row')}, but the carry has {counted(rows, 'row')}.")
        carry = policy_step(
            self.networks, encoded, first, carry, dtype=compute_dtype(self.config.model), deterministic=deterministic
        )
        action = self.spaces.decode_action(jax.device_get(carry.action))
        return (jax.tree.map(lambda x: x[0], action) if single else action), carry

    def details(self, carry: Carry) -> ActionDetails:
        """What the agent thinks of its last action: the expected return, and the policy's probabilities.

        Args:
            carry: as returned by `act` together with the action.
        """
        evaluated = evaluate_carry(self.networks, carry, dtype=compute_dtype(self.config.model))
        return ActionDetails(*jax.device_get(evaluated))

    def save(self, path: str | Path) -> Path:
        """Write the agent to a folder: agent.json (spaces and config) and its parameters. Replaces a saved agent.

        Raises:
            InputError: the folder holds a run, or something else that is not an agent.
            OSError: the agent can't be written.
        """
        path = Path(path).absolute()
        if (path / "checkpoints").exists():
            raise InputError(f"'{path}' holds a run, which has its own parameters; choose another path.")
        if path.exists() and any(path.iterdir()) and not (path / "agent.json").exists():
            raise InputError(f"'{path}' is not empty and holds no agent; choose another path.")
        path.mkdir(parents=True, exist_ok=True)
        write_arrays(path / PARAMETERS, copied(self.networks))
        write_text(path / "agent.json", json.dumps(self.description(), indent=2))
        return path

    def description(self) -> dict[str, Json]:
        """What is needed besides the parameters to make the agent again, in JSON's types."""
        return {"format": FORMAT, "spaces": self.spaces.to_json(), "config": config_to_dict(self.config)}

    @classmethod
    def load(cls, path: str | Path, checkpoint: CheckpointChoice = "newest") -> "Agent":
        """Load an agent from a folder that `save` wrote, or from a run folder. Needs no environment.

        Args:
            path: the folder.
            checkpoint: of a run: "newest" (the newest one that is not damaged; a DamagedCheckpointWarning says if that
                is not the newest of all), "best" (the one with the best evaluation), or its environment steps.

        Raises:
            InputError: there is no agent, no such checkpoint, or this version can't read it.
        """
        path = Path(path).absolute()
        file = path / "agent.json"
        if not file.exists():
            raise InputError(
                f"There is no agent in '{path}': expected a folder that Agent.save or training wrote, with a file "
                "agent.json."
            )
        spaces, config, _ = read_description(file)
        like = networks_like(spaces, config)
        if (path / PARAMETERS).exists():
            if checkpoint != "newest":
                raise InputError(f"'{path}' holds a single agent, no run with checkpoints; leave out the checkpoint.")
            networks, source = _saved_networks(path, like), f"'{path}'"
        else:
            networks, steps = read_networks(path, like, checkpoint)
            source = f"'{path}' after {steps:,} environment steps"
        agent = cls(spaces, config, networks=jax.device_put(networks))
        agent.source = source
        return agent


def _saved_networks(path: Path, like: Networks) -> Networks:
    arrays = read_arrays(path / PARAMETERS)
    try:
        return as_tree(like, arrays, path / PARAMETERS)
    except DamagedFileError as error:
        raise InputError(
            f"The parameters in '{path / PARAMETERS}' do not fit the agent that agent.json describes; one of the two "
            f"files was changed. {error}"
        ) from error


def _as_arrays(spaces: Spaces, observation: Any) -> Any:
    """An observation whose leaves are arrays, where lists and Python numbers may have been."""
    leaves = spaces.observation_leaves
    values = {leaf.path: _as_array(key, leaf.space.dtype, leaf.pick(observation)) for key, leaf in leaves.items()}
    return nest(spaces.observation_space, values)


def _as_array(key: str, dtype: np.dtype, value: Any) -> np.ndarray:
    array = as_array(f"observation {key!r}", value)
    if not hasattr(value, "dtype") and array.dtype.kind == "i" and dtype.kind == "u":  # Python's integers have no size
        cast = array.astype(dtype)
        return cast if np.array_equal(cast, array) else array
    return array


def _listed(features: Mapping[str, Feature]) -> str:
    """Features for people: `image Image(64, 64, 3), gear Discrete(4)`."""
    shown = []
    for name, feature in features.items():
        size = f"({feature.classes})" if isinstance(feature, Discrete) and not feature.shape else str(feature.shape)
        shown.append(f"{name} {type(feature).__name__}{size}")
    return ", ".join(shown)
