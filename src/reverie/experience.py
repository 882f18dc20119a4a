"""One step of experience (algorithm.md section 1): the record that replay stores and the learner reads.

May import: nothing of Reverie.
"""

from typing import Any, NamedTuple

Array = Any  # NumPy on the host, JAX on the device; the comments on the fields give the shapes.


class Step(NamedTuple):
    """What N environments return from a reset or a step."""

    observation: dict[str, Array]  # key → (N, *shape), in the dtype of its feature
    reward: Array  # (N,) float32, received on the way to this observation; 0 where is_first
    is_first: Array  # (N,) bool, the first observation of an episode
    is_last: Array  # (N,) bool, terminated or truncated
    is_terminal: Array  # (N,) bool, terminated: the future is worth nothing


def with_rows(step: Step, which: Array, new: Step) -> Step:
    """A copy of `step` with the rows `which`, (N,) bool, replaced by those of `new`; shares no arrays with `step`."""
    observation = {key: put(value, which, new.observation[key]) for key, value in step.observation.items()}
    return Step(observation, *(put(old, which, value) for old, value in zip(step[1:], new[1:], strict=True)))


def put(array: Array, which: Array, values: Array) -> Array:
    """A copy of a NumPy array with some rows replaced."""
    merged = array.copy()
    merged[which] = values
    return merged


class Experience(NamedTuple):
    """One record per environment step. Leading axes are (N,) when recorded and (B, T + 1) when replayed."""

    observation: dict[str, Array]
    action: dict[str, Array]  # taken after this observation; zeros where is_last
    reward: Array
    is_first: Array
    is_last: Array
    is_terminal: Array
    deter: Array  # (..., D), the latents most recently computed for this step
    stoch: Array  # (..., S) class indices
