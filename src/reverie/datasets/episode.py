"""One recorded episode, in the environment's own terms and as records of the replay buffer.

May import: `experience`, `spaces`.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from reverie.experience import Experience
from reverie.spaces import Spaces


class Episode(NamedTuple):
    """An episode of T steps.

    The observation before the first step and the one after each step make T + 1. Both flags say how the last step
    ended; if neither is set, the recording stops before the episode does.
    """

    observations: Any  # leaves (T + 1, …), in the structure of the observation space
    actions: Any  # leaves (T, …), in the structure of the action space
    rewards: np.ndarray | None  # (T,); None if they are not known
    terminated: bool
    truncated: bool


def as_records(episode: Episode, spaces: Spaces, *, deter: int, groups: int) -> Experience:
    """The records of an episode, leaves (T + 1, …), as stepping an environment would have recorded them.

    The last record has a zero action, since none was executed. A recording has no latents: they are zeros, until
    updates write better ones. Unknown rewards are zeros.

    Args:
        episode: to convert.
        spaces: the spaces of its values.
        deter: numbers of a latent's deterministic part.
        groups: class indices of a latent's stochastic part.

    Raises:
        ValueError: the values do not fit the spaces or differ in length; the message names the value.
    """
    import ml_dtypes

    observation = spaces.encode_observation(episode.observations)
    executed = spaces.encode_action(episode.actions)
    count = len(next(iter(observation.values())))
    lengths = {f"action {key!r}": len(x) for key, x in executed.items()}
    if episode.rewards is not None:
        lengths["the rewards"] = len(episode.rewards)
    for name, length in lengths.items():
        if length != count - 1:
            raise ValueError(f"there are {count} observations, so {name} must have {count - 1} entries, got {length}")
    if count < 2:
        raise ValueError("it has no step: an episode needs at least two observations and one action")
    rewards = np.zeros(count, np.float32)
    if episode.rewards is not None:
        with np.errstate(over="ignore"):  # reported next
            rewards[1:] = episode.rewards
        if not np.isfinite(rewards).all():
            at = int(np.flatnonzero(~np.isfinite(rewards))[0]) - 1
            raise ValueError(f"the reward of step {at} is {episode.rewards[at]}, which is not a finite float32 number")
    first, last = np.arange(count) == 0, np.arange(count) == count - 1
    return Experience(
        observation,
        {key: np.concatenate([x, np.zeros_like(x[:1])]) for key, x in executed.items()},
        rewards,
        first,
        last & (episode.terminated or episode.truncated),
        last & episode.terminated,
        np.zeros((count, deter), ml_dtypes.bfloat16),
        np.zeros((count, groups), np.uint8),
    )


def as_episode(records: Experience, spaces: Spaces) -> Episode:
    """The episode of some records, leaves (T + 1, …): the inverse of `as_records`.

    If the records stop before the episode ends, neither flag is set.
    """
    return Episode(
        spaces.decode_observation(records.observation),
        spaces.decode_action(jax.tree.map(lambda x: x[:-1], records.action)),
        records.reward[1:],
        bool(records.is_terminal[-1]),
        bool(records.is_last[-1] & ~records.is_terminal[-1]),
    )
