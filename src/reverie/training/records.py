"""What replay keeps of each step, and how much of it. May import: everything below `training`."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from reverie.config import Config
from reverie.experience import Experience
from reverie.learner import StoredLatents
from reverie.replay import Replay
from reverie.spaces import Spaces


def empty_replay(spaces: Spaces, config: Config, folder: Path | None = None) -> Replay:
    """An empty replay buffer, sized for this config; allocates nothing yet. `folder` is for a buffer on disk."""
    return Replay(
        _template(spaces, config),
        capacity=_capacity(config),
        num_envs=config.env.envs,
        sequence=config.replay.length + 1,
        seed=config.seed,
        home=config.replay.home,
        folder=folder,
    )


def prefill(config: Config) -> int:
    """The number of records collected before updates begin: a batch, and a whole sequence of each environment."""
    replay = config.replay
    return max(replay.batch * replay.length, config.env.envs * (replay.length + 1))


def records_to_write(config: Config) -> int:
    """The number of records this run will write at least, those of a dataset not counted.

    On disk every stream has as much room as the longest one. If environments don't wait for each other, any one of
    them may take all the steps.
    """
    if config.env.mode == "offline":
        return 0
    alone = config.env.mode == "async" and config.replay.home == "disk"
    return config.run.steps * (config.env.envs if alone else 1)


@jax.jit
def stored_latents(deter: jax.Array, stoch: jax.Array) -> StoredLatents:
    """Latents in the dtypes that replay keeps: bfloat16, and class indices as bytes."""
    return StoredLatents(deter.astype(jnp.bfloat16), stoch.astype(jnp.uint8))


def _capacity(config: Config) -> int:
    """The buffer's capacity in records.

    On a device all of it is allocated at once, so it is limited to what the run can fill: two records per step, in the
    worst case of episodes that last a single step.
    """
    capacity, envs = config.replay.capacity, config.env.envs
    if config.replay.home != "device":
        return capacity
    each = 2 * config.run.steps + 1  # if one environment takes all the steps
    if config.env.mode != "async":
        each = each // envs + 1
    return min(capacity, envs * max(each, config.replay.length + 1))


def _template(spaces: Spaces, config: Config) -> Experience:
    """One record, for shapes and dtypes."""
    flag = np.zeros((), bool)
    return Experience(
        observation={key: rows[0] for key, rows in spaces.zero_observation(1).items()},
        action={key: rows[0] for key, rows in spaces.zero_action(1).items()},
        reward=np.zeros((), np.float32),
        is_first=flag,
        is_last=flag,
        is_terminal=flag,
        deter=np.zeros(config.model.deter, jnp.bfloat16),
        stoch=np.zeros(config.model.groups, np.uint8),
    )
