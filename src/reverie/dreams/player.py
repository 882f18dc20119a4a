"""Playing a dream: from a real moment on, step by step inside the world model, with any actions, and back again.

May import: `agent` and below, and `actions`, `moments` and `scene` of this room.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reverie.agent import Agent
from reverie.dreams.actions import checked_action
from reverie.dreams.moments import Moment
from reverie.dreams.scene import Scene, describe, imagine, look
from reverie.errors import InputError
from reverie.experience import Experience
from reverie.learner import compute_dtype
from reverie.spaces import Discrete, Feature, Image
from reverie.world_model import Latent

LARGEST, MEMORY = 2000, 2**28  # states of a dream, and bytes of all of them


class State(NamedTuple):
    """A state in the tree of a dream."""

    parent: int | None  # the state before; None at the beginning
    time: int  # steps since the beginning
    action: dict[str, np.ndarray] | None  # that led here
    latent: Latent  # (1, …)
    scene: Scene
    recorded: bool  # whether all actions up to here were those that were really taken


class Truth(NamedTuple):
    """What really happened at the same time after the same actions."""

    observation: dict[str, np.ndarray]
    reward: float
    ended: bool  # with this record the episode was over
    error: dict[str, float]  # per observation: root of the mean squared error, of brightness 0 to 1 for images


class Dream:
    """A tree of imagined states that grows from a real moment; one of them is `now`.

    What is drawn depends on the seed and on the time alone: the same actions lead to the same states, and two branches
    differ by their actions only.

    Args:
        agent: whose world model is dreamed in.
        moment: where it begins; what was seen before it is looked at, not imagined.
        seed: of all draws; None takes what is most likely.

    Attributes:
        states: the tree, numbered in the order in which they were first reached; 0 is the moment itself.
        now: the number of the present one.
    """

    def __init__(self, agent: Agent, moment: Moment, seed: int | None = 0):
        self._agent, self._moment = agent, moment
        self._key = None if seed is None else jax.random.key(seed)
        self._dtype = compute_dtype(agent.config.model)
        self._children = dict[tuple[int, bytes], int]()
        latent = self._remember()
        self.states = [State(None, 0, None, latent, self._describe(latent, 0), recorded=True)]
        self.now = 0
        size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves((latent, self.states[0].scene)))
        self._largest = max(2, min(LARGEST, MEMORY // size))

    @property
    def state(self) -> State:
        """The present one."""
        return self.states[self.now]

    def step(self, action: Any) -> State:
        """Imagine what this action leads to, and go there.

        Args:
            action: by key, numbers from -1 to 1 or classes from 0, as the policy gives them.

        Raises:
            InputError: it doesn't fit the action space, or the dream has grown too large.
        """
        taken = checked_action(self._agent.spaces.action, action)
        child = (self.now, b"".join(taken[name].tobytes() for name in sorted(taken)))
        if child not in self._children:
            if len(self.states) >= self._largest:
                raise InputError(f"This dream holds at most {self._largest:,} states; begin a new one.")
            self.states.append(self._imagine(taken))
            self._children[child] = len(self.states) - 1
        return self.go(self._children[child])

    def policy_step(self) -> State:
        """What the policy does next."""
        return self.step(self.state.scene.action)

    def recorded_step(self) -> State:
        """What was really done next; an InputError where that isn't known."""
        action = self.recorded_action
        if action is None:
            raise InputError("What was really done next is not known here; go back to where the dream left it.")
        return self.step(action)

    def go(self, number: int) -> State:
        """To a state that was reached before, to look at it or to branch off."""
        if not 0 <= number < len(self.states):
            raise InputError(f"The dream has states 0 to {len(self.states) - 1}, got {number}.")
        self.now = number
        return self.state

    @property
    def recorded_action(self) -> dict[str, np.ndarray] | None:
        """What was really done in the present state, where all actions before were the real ones too."""
        if not self.state.recorded or self.state.time >= self._moment.known:
            return None
        return self._record().action

    @property
    def truth(self) -> Truth | None:
        """What really happened instead of the present state, where that is known."""
        if not self.state.recorded:
            return None
        record, dreamed = self._record(), self.state.scene.observation
        error = {
            name: _error(self._agent.spaces.observation[name], np.asarray(prediction), record.observation[name])
            for name, prediction in dreamed.items()
        }
        return Truth(record.observation, float(record.reward), bool(record.is_last), error)

    def _record(self) -> Experience:
        """The one of the present time."""
        at = self._moment.start + self.state.time
        return jax.tree.map(lambda x: np.asarray(x[at]), self._moment.records)

    def _remember(self) -> Latent:
        """The state at the moment: that of the first record as it was stored, then all that was seen until then."""
        records, classes = self._moment.records, self._agent.config.model.classes
        deter, stoch = (jnp.asarray(x[:1], jnp.float32) for x in (records.deter, np.eye(classes)[records.stoch]))
        latent, action = Latent(deter, stoch), self._agent.spaces.zero_action(1)
        for at in range(self._moment.start + 1):
            observation, taken, is_first = jax.tree.map(
                lambda x, at=at: x[at : at + 1], (records.observation, records.action, records.is_first)
            )
            if at or is_first.all():
                latent = look(self._agent.networks, latent, observation, action, is_first, dtype=self._dtype)
            action = taken
        return latent

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
    """Of classes: the share that is wrong."""
    if isinstance(feature, Discrete):
        return float(np.mean(dreamed != real))
    unit = 255.0 if isinstance(feature, Image) else 1.0
    difference = (dreamed.astype(np.float64) - real.astype(np.float64)) / unit
    return float(np.sqrt(np.mean(np.square(difference))))
