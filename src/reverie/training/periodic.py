"""Evaluation at intervals of a run. May import: `evaluation`, `envs`, `agent`.

Evaluation does not affect training, only its duration: it has environments, seeds and a random key of its own.
"""

from collections.abc import Callable
from contextlib import suppress

from reverie.agent import Agent
from reverie.config import Config
from reverie.envs import AnyEnvironments, exists, open_environments, settings_of
from reverie.envs.make import EnvLike
from reverie.errors import InputError
from reverie.training.evaluation import MAX_STEPS, Evaluation, play

SHORTEST_LIMIT = 10_000  # decisions that any episode may have: at the start of training all may be short


class PeriodicEvaluation:
    """Evaluates the agent every `run.eval_every` environment steps, on episodes that training never sees.

    Args:
        env: as for `train`; its environments are made at the first evaluation and kept.
        config: the run's.
        warn: called for the first evaluation that fails; training continues.

    Raises:
        InputError: the environment is an instance, which can't be made a second time.
    """

    def __init__(self, env: EnvLike, config: Config, warn: Callable[[str], object]) -> None:
        self._every, self._episodes = config.run.eval_every, config.run.eval_episodes
        if self._every and exists(env):
            raise InputError(
                "run.eval_every needs environments of its own, but an instance can't be made again: pass the "
                "environment's name or a function that makes it, or set run.eval_every to 0."
            )
        self._env, self._config, self._warn = env, config, warn
        self._seed = 2**31 - 1 - config.seed  # differs from every seed of training
        self._environments: AnyEnvironments | None = None
        self._failed = self._cancelled = False

    def due(self, before: int, now: int) -> bool:
        """Whether a multiple of the interval lies between two step counts."""
        return self._every > 0 and before // self._every < now // self._every

    def play(self, agent: Agent, longest: int) -> Evaluation | None:
        """Evaluate the agent; None if an environment failed or the evaluation was cancelled.

        Args:
            agent: the agent that plays.
            longest: the length of the longest episode of training. Episodes ten times as long are cut off, so that a
                task without an end is evaluated too.
        """
        max_steps = max(10 * longest, SHORTEST_LIMIT) if longest else MAX_STEPS
        try:
            if self._environments is None:
                self._environments = self._open()
            return play(
                agent,
                self._environments,
                self._episodes,
                self._seed,
                max_steps=max_steps,
                stopped=lambda: self._cancelled,
            )
        except Exception as error:  # an evaluation is never worth the run
            self.close()
            if not self._failed:
                self._failed = True
                self._warn(f"evaluation failed ({type(error).__name__}: {error}); training continues without it.")
            return None

    def cancel(self) -> None:
        """Stop the running evaluation and start no others."""
        self._cancelled = True

    def close(self) -> None:
        """Close the environments; another evaluation would make new ones."""
        if self._environments is not None:
            with suppress(Exception):
                self._environments.close()
            self._environments = None

    def _open(self) -> AnyEnvironments:
        config = self._config.env
        return open_environments(
            self._env,
            config.envs if config.mode == "vector" else min(config.envs, self._episodes),
            seed=self._seed,
            held_out=True,
            mode="parallel" if config.mode == "async" else "auto" if config.mode == "offline" else config.mode,
            timeout=config.timeout,
            **settings_of(config),
        )
