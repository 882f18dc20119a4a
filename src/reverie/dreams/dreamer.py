"""A run's newest checkpoint, opened for dreaming. May import: `agent` and below, `storage`, the rest of this room."""

from functools import partial
from pathlib import Path

import jax

from reverie.agent import Agent, read_description
from reverie.dreams.moments import Moment, draw_moments
from reverie.dreams.player import Dream
from reverie.errors import InputError
from reverie.learner import Learner
from reverie.storage import Checkpoint, Store, as_tree, read_newest


class Dreamer:
    """The newest checkpoint of a run: the agent, and real moments to dream on from.

    Attributes:
        agent: with the checkpoint's parameters.
        env_steps: decisions that had been taken when it was written.
        moments: to begin from.
    """

    def __init__(self, agent: Agent, env_steps: int, moments: list[Moment]):
        self.agent, self.env_steps, self.moments = agent, env_steps, moments

    @classmethod
    def load(cls, run: str | Path, *, moments: int = 12, seed: int = 0) -> "Dreamer":
        """Parameters and some moments, drawn by `seed`, of one checkpoint; the run may go on meanwhile.

        Raises:
            InputError: there is no run, it has no checkpoint yet, or none can be read.
        """
        run = Path(run).absolute()
        if not (run / "agent.json").exists():
            raise InputError(f"There is no run in {run}: expected a folder that training wrote.")
        problems = list[str]()
        read = partial(cls._read, run, moments, seed)
        dreamer = read_newest(Store(run / "checkpoints"), read, lambda _, problem: problems.append(problem))
        if dreamer is None and problems:
            raise InputError(f"No checkpoint of {run} can be read. {problems[0]}")
        if dreamer is None:
            raise InputError(f"The run in {run} has no checkpoint yet; it writes one at intervals and when it stops.")
        return dreamer

    @classmethod
    def _read(cls, run: Path, moments: int, seed: int, checkpoint: Checkpoint) -> "Dreamer":
        spaces, config, _ = read_description(run / "agent.json")
        learner = Learner(spaces.observation, spaces.action, config)
        like = jax.eval_shape(learner.init, jax.random.key(0)).networks
        networks = as_tree(like, checkpoint.read("networks"), f"checkpoint {checkpoint.count} of {run}")
        drawn = draw_moments(checkpoint, spaces, moments, seed)
        if not drawn:
            raise InputError(f"The newest checkpoint of {run} holds no experience to begin a dream from.")
        agent = Agent(spaces, config, networks=jax.device_put(networks))
        return cls(agent, int(checkpoint.meta["progress"]["env_steps"]), drawn)

    def dream(self, moment: int = 0, seed: int | None = 0) -> "Dream":
        """A dream from one of the moments on; see `Dream`."""
        if not 0 <= moment < len(self.moments):
            raise InputError(f"There are the moments 0 to {len(self.moments) - 1}, got {moment}.")
        return Dream(self.agent, self.moments[moment], seed)
