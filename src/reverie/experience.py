"""What one step of experience is (algorithm.md section 1): the record that replay keeps and the learner reads.

May import: nothing of Reverie.
"""

from typing import Any, NamedTuple

Array = Any  # numpy on the host, JAX on the device; shapes stand in the fields' comments.


class Step(NamedTuple):
    """What the environments show after a reset or a step, for N environments at once."""

    observation: dict[str, Array]  # key → (N, *shape), in the dtype of its feature
    reward: Array  # (N,) float32, received on arriving here; 0 where is_first
    is_first: Array  # (N,) bool, the first observation of an episode
    is_last: Array  # (N,) bool, terminated or truncated
    is_terminal: Array  # (N,) bool, terminated: the future is worth nothing


def with_rows(step: Step, which: Array, new: Step) -> Step:
    """The step with other rows where `which`, (N,) bool, says so; no array is shared with the one before."""
    observation = {key: put(value, which, new.observation[key]) for key, value in step.observation.items()}
    return Step(observation, *(put(old, which, value) for old, value in zip(step[1:], new[1:], strict=True)))


def put(array: Array, which: Array, values: Array) -> Array:
    """A copy of an array on the host, with other values in some rows."""
    merged = array.copy()
    merged[which] = values
    return merged


class Experience(NamedTuple):
    """One record per environment step. Leading axes (N,) when recorded, (B, T + 1) when replayed."""

    observation: dict[str, Array]
    action: dict[str, Array]  # taken after this observation; zeros where is_last
    reward: Array
    is_first: Array
    is_last: Array
    is_terminal: Array
    deter: Array  # (..., D), the latents last computed for this step
    stoch: Array  # (..., S) class indices
