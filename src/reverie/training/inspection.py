"""What a run of an environment would be, without one. May import: everything below `training`, and all of it."""

from dataclasses import replace
from typing import Any

import jax

from reverie.agent import Agent
from reverie.config import Config
from reverie.envs import open_environments
from reverie.envs.suites import suite_of
from reverie.learner import Learner
from reverie.presets import for_suite
from reverie.training.display import Display, cautions, describe
from reverie.training.loop import empty_replay
from reverie.training.trainer import env_name


def inspect(env: Any, config: Config | None = None) -> None:
    """Print how an environment's spaces reach the networks, what they and replay would take, and the pace of updates.

    Args:
        env: as for `train`.
        config: that of the run; by default Reverie's, for environments of a suite with its settings.

    Raises:
        InputError: there is no such environment, or it has spaces that Reverie can't take; with all of these and what
            to do about each.
    """
    config = config or for_suite(suite_of(env) if isinstance(env, str) else None, Config())
    config = replace(config, replay=replace(config.replay, home="memory"))  # that it would be counted
    mode = config.env.mode if config.env.mode == "vector" else "serial"
    with open_environments(env, getattr(env, "num_envs", 1), mode=mode, keys=config.env.keys) as environments:
        spaces = environments.spaces
    learner = Learner(spaces.observation, spaces.action, config)
    networks = jax.eval_shape(learner.init, jax.random.key(0)).networks  # shapes are enough
    agent = Agent(spaces, config, networks=networks)
    display = Display(config.run.steps, live=False)
    display.note(f"observation space: {spaces.observation_space}\naction space: {spaces.action_space}\n")
    display.note(describe(agent, env_name(env) or "an environment", empty_replay(spaces, config), config.run.steps))
    for caution in cautions(agent):
        display.warn(caution)
