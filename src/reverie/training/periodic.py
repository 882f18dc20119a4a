"""Evaluation at intervals of a run, which goes on as though there were none. May import: `evaluation`, `envs`, `agent`.

Environments, their seeds and the policy's random key are the evaluation's own: nothing that training reads is written.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reverie.agent import Agent
from reverie.config import Config
from reverie.envs import AnyEnvironments, exists, open_environments
from reverie.errors import InputError
from reverie.training.evaluation import Evaluation, play


class PeriodicEvaluation:
    """Plays the same episodes every `run.eval_every` environment steps, on environments that training never sees.

    Args:
        env: as for `train`; made when the first evaluation is due, and kept.
        config: of the run.
        warn: hears of the first evaluation that fails; the run goes on.

    Raises:
        InputError: the environment is one that exists already, which can't be made a second time.
    """

    def __init__(self, env: Any, config: Config, warn: Callable[[str], object]) -> None:
        self._every, self._episodes = config.run.eval_every, config.run.eval_episodes
        if self._every and exists(env):
            raise InputError(
                "run.eval_every needs environments of its own, but an environment that exists already can't be made "
                "again: give its name or a function that makes it, or leave run.eval_every at 0"
            )
        self._env, self._config, self._warn = env, config, warn
        self._seed = 2**31 - 1 - config.seed  # another than training's, whatever that is
        self._environments: AnyEnvironments | None = None
        self._failed = self._cancelled = False

    def due(self, before: int, now: int) -> bool:
        """Whether a multiple of the interval lies between two counts of environment steps."""
        return self._every > 0 and before // self._every < now // self._every

    def play(self, agent: Agent) -> Evaluation | None:
        """What the agent reaches now; None if an environment failed, or it was cancelled."""
        try:
            if self._environments is None:
                self._environments = self._made()
            return play(agent, self._environments, self._episodes, self._seed, stopped=lambda: self._cancelled)
        except Exception as error:  # whatever it is, it is no reason to lose the run
            self.close()
            if not self._failed:
                self._failed = True
                self._warn(f"evaluation failed ({type(error).__name__}: {error}); training goes on without it.")
            return None

    def cancel(self) -> None:
        """Stop the evaluation that is going on, and make no more."""
        self._cancelled = True

    def close(self) -> None:
        """End the environments; another evaluation would make new ones."""
        if self._environments is not None:
            with suppress(Exception):
                self._environments.close()
            self._environments = None

    def _made(self) -> AnyEnvironments:
        config = self._config.env
        return open_environments(
            self._env,
            config.envs if config.mode == "vector" else min(config.envs, self._episodes),
            seed=self._seed,
            held_out=True,
            mode="parallel" if config.mode == "async" else config.mode,  # the same episodes each time
            timeout=config.timeout,
            keys=config.keys,
            time_limit=config.time_limit,
            action_repeat=config.action_repeat,
        )
