"""Describes a run of an environment without starting one. May import: everything below `training`, and all of it."""

from dataclasses import replace

import jax

from reverie.agent import Agent
from reverie.config import Config
from reverie.envs import open_environments, settings_of
from reverie.envs.make import EnvLike
from reverie.learner import Learner
from reverie.training.description import cautions, describe
from reverie.training.display import Display
from reverie.training.opening import env_name, given_or_default
from reverie.training.records import empty_replay


def inspect(env: EnvLike, config: Config | None = None) -> None:
    """Print how an environment's spaces reach the networks, the size of model and replay, and the pace of updates.

    Args:
        env: as for `train`.
        config: the run's config; by default Reverie's, with the suite's settings for an environment of a suite.

    Raises:
        InputError: there is no such environment, or Reverie does not support its spaces; the message names each of
            them and says how to fix it.
    """
    config = given_or_default(env, config)
    config = replace(config, replay=replace(config.replay, home="memory"))  # allocates nothing
    mode = config.env.mode if config.env.mode == "vector" else "serial"
    count = getattr(env, "num_envs", 1)
    with open_environments(env, count, mode=mode, **settings_of(config.env)) as environments:
        spaces = environments.spaces
    learner = Learner(spaces.observation, spaces.action, config)
    networks = jax.eval_shape(learner.init, jax.random.key(0)).networks  # shapes are enough
    agent = Agent(spaces, config, networks=networks)
    display = Display(config.run.steps)
    display.note(f"observation space: {spaces.observation_space}\naction space: {spaces.action_space}\n")
    display.note(describe(agent, env_name(env) or "an environment", empty_replay(spaces, config)))
    for caution in cautions(agent):
        display.warn(caution)
