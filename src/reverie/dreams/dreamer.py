"""A run's newest readable checkpoint, opened to dream in. May import: `agent` and below, the rest of this room."""

from collections.abc import Sequence
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
    """The newest readable checkpoint of a run: the agent, and recorded moments to start dreams from.

    Attributes:
        agent: the agent with the checkpoint's parameters.
        env_steps: environment steps taken when the checkpoint was written.
        moments: recorded moments to start from.
        damaged: a sentence for each newer checkpoint that could not be read.
    """

    def __init__(self, agent: Agent, env_steps: int, moments: list[Moment], damaged: Sequence[str] = ()):
        self.agent, self.env_steps, self.moments, self.damaged = agent, env_steps, moments, tuple(damaged)

    @classmethod
    def load(cls, run: str | Path, *, moments: int = 12, seed: int = 0) -> "Dreamer":
        """Open the newest checkpoint that can be read; the run may still be training.

        Args:
            run: the run's folder.
            moments: how many recorded moments to draw.
            seed: seeds the draw.

        Raises:
            InputError: there is no run, it has no checkpoint yet, or no checkpoint can be read.
        """
        run = Path(run).absolute()
        if not (run / "agent.json").exists():
            raise InputError(f"There is no run in {run}: name a folder that training wrote.")
        problems = list[str]()
        read = partial(cls._read, run, moments, seed)
        dreamer = read_newest(Store(run / "checkpoints"), read, lambda _, problem: problems.append(problem))
        if dreamer is None and problems:
            raise InputError(f"No checkpoint of {run} can be read. {problems[0]}")
        if dreamer is None:
            raise InputError(f"The run in {run} has no checkpoint yet; it writes one regularly and when it stops.")
        dreamer.damaged = tuple(problems)
        return dreamer

    @classmethod
    def _read(cls, run: Path, moments: int, seed: int, checkpoint: Checkpoint) -> "Dreamer":
        spaces, config, _ = read_description(run / "agent.json")
        learner = Learner(spaces.observation, spaces.action, config)
        like = jax.eval_shape(learner.init, jax.random.key(0)).networks
        networks = as_tree(like, checkpoint.read("networks"), f"checkpoint {checkpoint.count} of {run}")
        drawn = draw_moments(checkpoint, spaces, moments, seed)
        if not drawn:
            raise InputError(f"The newest checkpoint of {run} holds no experience to start a dream from.")
        agent = Agent(spaces, config, networks=jax.device_put(networks))
        return cls(agent, int(checkpoint.meta["progress"]["env_steps"]), drawn)

    def dream(self, moment: int = 0, seed: int | None = 0) -> "Dream":
        """A dream that starts at one of the moments; see `Dream`."""
        if not 0 <= moment < len(self.moments):
            raise InputError(f"moment must be in 0 to {len(self.moments) - 1}, got {moment}.")
        return Dream(self.agent, self.moments[moment], seed)
