"""The agent: what a user holds in the hand. It acts, it can be saved and loaded, and its world model is public.

May import: `learner` and below, `spaces`, `config`, `storage`.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from reverie.behaviour import Actor
from reverie.config import Config, config_from_dict, config_to_dict
from reverie.errors import InputError
from reverie.learner import Learner, Networks, compute_dtype
from reverie.nn import compute_cast
from reverie.spaces import Discrete, Spaces
from reverie.storage import DamagedFileError, Store, as_tree, copied, read_arrays, read_newest, write_arrays, write_text
from reverie.world_model import Latent, WorldModel

FORMAT = 2
PARAMETERS = "networks.safetensors"


class Keys(NamedTuple):
    """Independent random keys of everything that draws numbers on the device."""

    init: PRNGKeyArray
    update: PRNGKeyArray
    act: PRNGKeyArray

    @classmethod
    def of(cls, seed: int) -> "Keys":
        return cls(*jax.random.split(jax.random.key(seed), 3))


class Carry(NamedTuple):
    """What acting remembers between two steps, one row per environment."""

    latent: Latent  # (N, …)
    action: dict[str, Array]  # (N, …), the one before, as the model takes it
    fresh: Bool[Array, " n"]  # nothing was seen yet: the next observation begins an episode
    key: PRNGKeyArray


def initial_carry(networks: Networks, batch_size: int, key: PRNGKeyArray) -> Carry:
    """The carry before a first observation: zeros, and fresh, for a discrete action of 0 is a real one to the model."""
    actions = {
        name: jnp.zeros((batch_size, *feature.shape), jnp.int32 if isinstance(feature, Discrete) else jnp.float32)
        for name, feature in networks.world_model.actions
    }
    return Carry(networks.world_model.initial((batch_size,)), actions, jnp.ones(batch_size, bool), key)


@partial(jax.jit, static_argnames=("dtype", "deterministic"))
def policy_step(
    networks: Networks,
    observation: dict[str, Array],
    is_first: Bool[Array, " n"],
    carry: Carry,
    *,
    dtype: Any,
    deterministic: bool = False,
) -> Carry:
    """Look and decide (section 5): the new carry holds the action for each of N environments.

    `deterministic` takes the mode of the latent and of the action instead of samples.
    """
    networks = compute_cast(networks, dtype)
    keys = jax.random.split(carry.key, 3)
    latent = networks.world_model.observe(
        carry.latent,
        jax.tree.map(lambda x: x[:, None], observation),
        jax.tree.map(lambda x: x[:, None], carry.action),
        (is_first | carry.fresh)[:, None],
        None if deterministic else keys[0],
    )
    latent = jax.tree.map(lambda x: x[:, 0].astype(jnp.float32), latent)
    action = networks.actor(latent.features).sample(None if deterministic else keys[1])
    return Carry(latent, action, jnp.zeros_like(carry.fresh), keys[2])


@jax.jit
def keep_rows(which: Bool[Array, " n"], new: Carry, old: Carry) -> Carry:
    """The new carry in some rows, the old one in the others: for environments that have nothing new to show yet."""
    keep = lambda x, y: jnp.where(which.reshape((-1,) + (1,) * (x.ndim - 1)), x, y)  # noqa: E731
    rows = jax.tree.map(keep, new._replace(key=new.fresh), old._replace(key=old.fresh))  # a key has no rows
    return rows._replace(key=new.key)


class Agent:
    """A trained or fresh agent for some spaces.

    Attributes:
        spaces: what it observes and does, in Gymnasium's terms.
        config: the configuration that it was made with.
        networks: all parameters, a pytree.
    """

    def __init__(self, spaces: Spaces, config: Config | None = None, *, networks: Networks | None = None):
        """A fresh agent, initialised from `config.seed`, or one with the given networks."""
        self.spaces = spaces
        self.config = config or Config()
        if networks is None:
            learner = Learner(spaces.observation, spaces.action, self.config)
            networks = learner.fresh(Keys.of(self.config.seed).init).networks
        self.networks = networks
        # What is only predicted need not be there when it acts.
        self._seen = spaces.select(self.config.model.encoder_keys)

    @property
    def world_model(self) -> WorldModel:
        """The model itself: `observe`, `imagine`, `decode`, `reward`, `cont`."""
        return self.networks.world_model

    @property
    def actor(self) -> Actor:
        """The policy network, on a latent's `features`."""
        return self.networks.actor

    def initial_carry(self, batch_size: int = 1, seed: int = 0) -> Carry:
        """What to pass to the first `act` of an episode; `seed` decides the samples that follow."""
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        return initial_carry(self.networks, batch_size, jax.random.key(seed))

    def act(
        self,
        observation: Any,
        carry: Carry,
        *,
        deterministic: bool = False,
        is_first: np.ndarray | None = None,
    ) -> tuple[Any, Carry]:
        """Choose an action.

        Args:
            observation: as the environment gives it, or as a vector environment gives it for the carry's N rows. Keys
                that the encoder doesn't take may be missing.
            carry: of `initial_carry` or the previous call.
            deterministic: the most likely action instead of a sample.
            is_first: (N,) which rows begin an episode; those forget what came before.

        Returns:
            The action in the environment's own structure, dtype and bounds (with a leading axis if the
            observation has one), and the carry for the next call.

        Raises:
            ValueError: an observation that doesn't fit the spaces, or a number of rows that isn't the carry's.
        """
        rows = carry.latent.deter.shape[0]
        single = rows == 1 and self._seen.is_single(observation)
        if single:
            observation = jax.tree.map(lambda x: np.asarray(x)[None], observation)
        encoded = self._seen.encode_observation(observation)
        got = len(next(iter(encoded.values())))
        if got != rows:
            raise InputError(f"Got observations of {got} environments but a carry of {rows}; use initial_carry({got}).")
        first = np.zeros(rows, bool) if is_first is None else np.asarray(is_first, bool).reshape(rows)
        carry = policy_step(
            self.networks, encoded, first, carry, dtype=compute_dtype(self.config.model), deterministic=deterministic
        )
        action = self.spaces.decode_action(jax.device_get(carry.action))
        return (jax.tree.map(lambda x: x[0], action) if single else action), carry

    def save(self, path: str | Path) -> Path:
        """Write the agent to a folder: `agent.json` (spaces, config) and its parameters. Overwrites an agent."""
        path = Path(path).absolute()
        if (path / "checkpoints").exists():
            raise InputError(f"{path} holds a run, which keeps its own parameters; choose another path.")
        if path.exists() and any(path.iterdir()) and not (path / "agent.json").exists():
            raise InputError(f"{path} is not empty and holds no agent; choose another path.")
        path.mkdir(parents=True, exist_ok=True)
        write_arrays(path / PARAMETERS, copied(self.networks))
        write_text(path / "agent.json", json.dumps(self.description(), indent=2))
        return path

    def description(self) -> dict[str, Any]:
        """What besides the parameters is needed to make the agent again, in JSON's types."""
        return {"format": FORMAT, "spaces": self.spaces.to_json(), "config": config_to_dict(self.config)}

    @classmethod
    def load(cls, path: str | Path) -> "Agent":
        """An agent from a folder that `save` wrote, or from a run's folder (its newest checkpoint).

        Needs no environment.

        Raises:
            ValueError: there is no agent, or it can't be read by this version.
        """
        path = Path(path).absolute()
        file = path / "agent.json"
        if not file.exists():
            raise InputError(
                f"There is no agent in {path}: expected a folder written by Agent.save or by training "
                "(it holds a file agent.json)."
            )
        spaces, config, _ = read_description(file)
        learner = Learner(spaces.observation, spaces.action, config)
        like = jax.eval_shape(learner.init, jax.random.key(0)).networks
        parameters = path / PARAMETERS
        if not parameters.exists():
            return cls(spaces, config, networks=jax.device_put(_newest_networks(path, like)))
        arrays = read_arrays(parameters)
        try:
            networks = as_tree(like, arrays, parameters)
        except DamagedFileError as error:
            raise InputError(
                f"The parameters in {parameters} don't fit the agent that {file} describes; one of them was changed. "
                f"{error}"
            ) from error
        return cls(spaces, config, networks=jax.device_put(networks))


def _newest_networks(run: Path, like: Networks) -> Networks:
    """Those of a run's newest checkpoint that can be read."""
    store, damaged = Store(run / "checkpoints"), list[str]()
    networks = read_newest(
        store,
        lambda checkpoint: as_tree(like, checkpoint.read("networks"), f"checkpoint {checkpoint.count} of {run}"),
        lambda _, problem: damaged.append(problem),
    )
    if networks is not None:
        return networks
    if damaged:
        raise InputError(f"No checkpoint of {run} can be read. {damaged[0]}")
    raise InputError(f"The run in {run} has no checkpoint yet; it writes one at intervals and when it stops.")


def read_description(file: Path) -> tuple[Spaces, Config, str | None]:
    """Spaces, config and the environment's name (if any) of an agent.json; an InputError that names the file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); restore it from a copy, or start anew elsewhere.") from error
    found = data.get("format") if isinstance(data, dict) else data
    if found != FORMAT:
        raise InputError(
            f"{file} has format {found!r}, this version of Reverie reads format {FORMAT}. "
            "Use the version that wrote it, or train anew."
        )
    if missing := {"spaces", "config"} - set(data):
        raise InputError(f"{file} is damaged: it lacks {sorted(missing)}.")
    return Spaces.from_json(data["spaces"]), config_from_dict(data["config"]), data.get("env")
