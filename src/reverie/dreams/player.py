"""A dream: a tree of imagined states that starts at a recorded moment and grows with any actions.

May import: `agent` and below, and `actions`, `model`, `moments` and `scene` of this room.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from reverie.agent import Agent
from reverie.dreams.actions import checked_action
from reverie.dreams.model import DreamModel
from reverie.dreams.moments import Moment
from reverie.dreams.scene import Scene, describe, imagine
from reverie.errors import InputError
from reverie.experience import Experience
from reverie.learner import compute_dtype
from reverie.spaces import Discrete, Feature, Image
from reverie.world_model import Latent

LARGEST, MEMORY = 2000, 2**28  # limits of a dream: states, and bytes of all states


class State(NamedTuple):
    """An imagined state."""

    parent: int | None  # the number of the previous state; None for the first
    time: int  # steps since the start
    action: dict[str, np.ndarray] | None  # the action that led here
    latent: Latent  # (1, …)
    scene: Scene
    recorded: bool  # whether all actions up to here were the recorded ones


class Truth(NamedTuple):
    """The recorded outcome of the same actions."""

    observation: dict[str, np.ndarray]
    reward: float
    ended: bool  # whether the episode ended with this record
    error: dict[str, float]  # by observation: root mean squared error (images: of brightness 0 to 1)


class Dream:
    """A tree of imagined states that starts at a recorded moment; `now` is the current one.

    Samples depend only on the seed and the time: the same actions lead to the same states, and two branches differ
    only through their actions.

    Args:
        agent: the agent whose world model imagines.
        moment: where the dream starts; the records up to it are observed, not imagined.
        seed: seeds all samples; None takes the most likely outcomes.

    Attributes:
        states: the tree, in the order in which states were first reached; state 0 is the moment itself.
        now: the number of the current state.
    """

    def __init__(self, agent: Agent, moment: Moment, seed: int | None = 0):
        self._agent, self._moment = agent, moment
        self._key = None if seed is None else jax.random.key(seed)
        self._dtype = compute_dtype(agent.config.model)
        self._children = dict[tuple[int, bytes], int]()
        latent = DreamModel(agent).remember(moment)
        self.states = [State(None, 0, None, latent, self._describe(latent, 0), recorded=True)]
        self.now = 0
        size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves((latent, self.states[0].scene)))
        self._largest = max(2, min(LARGEST, MEMORY // size))

    @property
    def state(self) -> State:
        """The current state."""
        return self.states[self.now]

    def step(self, action: Any) -> State:
        """Imagine the outcome of an action and move there.

        Args:
            action: by key, numbers from -1 to 1 or classes from 0, as the policy returns them.

        Raises:
            InputError: the action does not fit the action space, or the dream has too many states.
        """
        taken = checked_action(self._agent.spaces.action, action)
        child = (self.now, b"".join(taken[name].tobytes() for name in sorted(taken)))
        if child not in self._children:
            if len(self.states) >= self._largest:
                raise InputError(f"This dream holds at most {self._largest:,} states; start a new one.")
            self.states.append(self._imagine(taken))
            self._children[child] = len(self.states) - 1
        return self.go(self._children[child])

    def policy_step(self) -> State:
        """Take the policy's action."""
        return self.step(self.state.scene.action)

    def recorded_step(self) -> State:
        """Take the recorded action; raises an InputError where none is known."""
        action = self.recorded_action
        if action is None:
            raise InputError("No recorded action is known here; go back to where the dream left the recording.")
        return self.step(action)

    def go(self, number: int) -> State:
        """Move to a state that was reached before, to look at it or to branch off."""
        if not 0 <= number < len(self.states):
            raise InputError(f"The state must be in 0 to {len(self.states) - 1}, got {number}.")
        self.now = number
        return self.state

    @property
    def recorded_action(self) -> dict[str, np.ndarray] | None:
        """The recorded action in the current state, if all actions before were the recorded ones too."""
        if not self.state.recorded or self.state.time >= self._moment.known:
            return None
        return self._record().action

    @property
    def truth(self) -> Truth | None:
        """The recorded counterpart of the current state, where it is known."""
        if not self.state.recorded:
            return None
        record, dreamed = self._record(), self.state.scene.observation
        error = {
            name: _error(self._agent.spaces.observation[name], np.asarray(prediction), record.observation[name])
            for name, prediction in dreamed.items()
        }
        return Truth(record.observation, float(record.reward), bool(record.is_last), error)

    def _record(self) -> Experience:
        """The record at the current time."""
        at = self._moment.start + self.state.time
        return jax.tree.map(lambda x: np.asarray(x[at]), self._moment.records)

    def _imagine(self, action: dict[str, np.ndarray]) -> State:
        before = self.state
        recorded = self.recorded_action
        same = recorded is not None and all(np.array_equal(action[name], recorded[name]) for name in action)
        batched = {name: x[None] for name, x in action.items()}
        time = before.time + 1
        latent = imagine(self._agent.networks, before.latent, batched, self._key, time, dtype=self._dtype)
        return State(self.now, time, action, latent, self._describe(latent, time), same)

    def _describe(self, latent: Latent, time: int) -> Scene:
        discount = self._agent.config.behaviour.discount
        return jax.device_get(
            describe(self._agent.networks, latent, self._key, time, discount=discount, dtype=self._dtype)
        )


def _error(feature: Feature, dreamed: np.ndarray, real: np.ndarray) -> float:
    """The root mean squared error; for classes, the share that is wrong."""
    if isinstance(feature, Discrete):
        return float(np.mean(dreamed != real))
    unit = 255.0 if isinstance(feature, Image) else 1.0
    difference = (dreamed.astype(np.float64) - real.astype(np.float64)) / unit
    return float(np.sqrt(np.mean(np.square(difference))))
