"""What a run is made of before its first step: config, environments, loop and folder, each checked.

May import: everything below `training`, and of it `clock`, `compiled`, `folder`, `learning`, `loop` and `offline`.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from gymnasium.vector import VectorEnv

from reverie.agent import Agent, CheckpointChoice
from reverie.agent.transfer import Piece, transfer
from reverie.config import Config
from reverie.datasets import open_dataset
from reverie.devices import check_dtype
from reverie.envs import AnyEnvironments, exists, keys_of, open_environments, settings_of
from reverie.envs.compiled import CompiledEnvironments
from reverie.envs.make import EnvLike, find_jax_env
from reverie.envs.suites import suite_of
from reverie.errors import InputError
from reverie.presets import for_suite
from reverie.spaces import Spaces
from reverie.text import counted
from reverie.training.clock import Clock
from reverie.training.compiled import CompiledLoop
from reverie.training.folder import holds_checkpoint
from reverie.training.learning import LearningLoop
from reverie.training.loop import Loop
from reverie.training.offline import NoEnvironments, OfflineLoop
from reverie.training.weights_and_biases import check_installed

Resume = Literal["auto", "must", "never"]


def complete_config(env: EnvLike, config: Config | None, steps: int | None, seed: int | None) -> Config:
    """The config of a run in an environment: given or the default, with steps, seed and number of environments."""
    config = given_or_default(env, config)
    if steps is not None:
        config = replace(config, run=replace(config.run, steps=steps))
    if seed is not None:
        config = replace(config, seed=seed)
    if isinstance(env, VectorEnv):
        return replace(config, env=replace(config.env, envs=env.num_envs, mode="auto"))  # it steps them in its own way
    if exists(env):
        return replace(config, env=replace(config.env, envs=1))
    return config


def given_or_default(env: EnvLike, config: Config | None) -> Config:
    """The config, or the default one with the paper's settings for the environment's suite."""
    if config is None:
        return for_suite(suite_of(env) if isinstance(env, str) else None, Config())
    if isinstance(config, Config):
        return config
    raise InputError(
        f"config must be a Config, got a {type(config).__name__}: make one with Config.of(steps=1000), or read one "
        "with Config.from_file('config.yaml')."
    )


def check_request(config: Config, logdir: Path | None, resume: Resume) -> None:
    """Check what needs no environment: the folder, and what the config says of metrics.

    Raises:
        InputError: there is a run to resume or none, contrary to `resume`; a folder or package is missing; or a
            pattern is no regular expression.
    """
    if resume not in get_args(Resume):
        raise InputError(f"resume must be one of {', '.join(map(repr, get_args(Resume)))}; got {resume!r}.")
    if config.replay.home == "disk" and logdir is None:
        raise InputError("replay.home is 'disk', but there is no logdir to put the replay buffer in; pass one.")
    found = logdir is not None and holds_checkpoint(logdir)
    if resume == "must" and not found:
        raise InputError(f"There is no run to resume in '{logdir}'; start one without --resume must.")
    if resume == "never" and found:
        raise InputError(f"'{logdir}' already holds a run; choose another logdir, or resume it without --resume never.")
    try:
        re.compile(config.env.info)
    except re.error as error:
        raise InputError(f"env.info must be a regular expression, got {config.env.info!r}: {error}") from error
    if config.run.wandb:
        check_installed()


def make_environments(env: EnvLike, config: Config) -> AnyEnvironments | CompiledEnvironments | NoEnvironments:
    """The run's environments: inside the compiled program if they are written in JAX, else stepped from Python.

    A run that is trained offline has none, only the spaces of the dataset or, if it does not know them, of `env`.
    """
    settings = config.env
    if settings.mode == "offline":
        if not config.replay.dataset:
            raise InputError("env.mode is 'offline', but there is nothing to train on; name a dataset with --dataset.")
        return NoEnvironments(_recorded_spaces(env, config), settings.envs)
    jax_env = find_jax_env(env) if settings.mode in ("auto", "compiled") else None
    if jax_env is None and settings.mode == "compiled":
        raise InputError(f"env.mode is 'compiled', but {env!r} is not written in JAX; set env.mode to 'auto'.")
    if jax_env is not None:
        if settings.time_limit or settings.action_repeat > 1:
            raise InputError(
                "env.time_limit and env.action_repeat need environments that are stepped from Python: choose "
                "--env.mode serial, or build them into the environment."
            )
        if settings.kwargs or settings.reset_options:
            raise InputError(
                "env.kwargs and env.reset_options need environments that are stepped from Python: choose "
                "--env.mode serial."
            )
        return CompiledEnvironments(jax_env, settings.envs, keys=keys_of(settings))
    return open_environments(
        env,
        settings.envs,
        seed=config.seed,
        mode=settings.mode,
        restarts=settings.restarts,
        timeout=settings.timeout,
        **settings_of(settings),
    )


def _recorded_spaces(env: EnvLike, config: Config) -> Spaces:
    dataset, settings = open_dataset(config.replay.dataset), config.env
    if dataset.spaces is not None:
        return keys_of(settings).spaces(dataset.spaces.observation_space, dataset.spaces.action_space)
    with open_environments(env, 1, seed=config.seed, **settings_of(settings)) as environments:
        return environments.spaces


def make_loop(
    envs: AnyEnvironments | CompiledEnvironments | NoEnvironments, config: Config, clock: Clock, logdir: Path | None
) -> LearningLoop[Any]:
    """The loop for this kind of environments; `logdir` is for a replay buffer on disk.

    Raises:
        InputError: the device does not compute in the configured dtype.
    """
    check_dtype(config.model.compute_dtype, jax.devices()[0])
    if isinstance(envs, NoEnvironments):
        return OfflineLoop(envs, config, clock, logdir)
    if isinstance(envs, CompiledEnvironments):
        return CompiledLoop(envs, config, clock, logdir)
    return Loop(envs, config, clock, logdir)


def env_name(env: EnvLike) -> str | None:
    """A name that makes the environment again, 'module:factory' for a function; None if there is none."""
    if isinstance(env, str):
        return env
    module, name = getattr(env, "__module__", None), getattr(env, "__qualname__", None)
    importable = module not in (None, "__main__") and name is not None and "<" not in name
    return f"{module}:{name}" if importable else None


def load_source(
    source: Agent | str | Path | None,
    logdir: str | Path | None,
    only: Piece | None = None,
    checkpoint: CheckpointChoice = "newest",
) -> Agent | None:
    """The agent whose parameters a new run starts from; None if there is none, or if the folder has a run to resume.

    Raises:
        InputError: `only`, or the checkpoint, is not one of the choices.
    """
    if only is not None and source is None:
        raise InputError("start_with says what to take from another agent; name that agent with start_from.")
    if only not in (None, *get_args(Piece)):
        raise InputError(f"start_with must be one of {', '.join(map(repr, get_args(Piece)))}; got {only!r}.")
    if logdir is not None and holds_checkpoint(Path(logdir)):
        return None
    return source if source is None or isinstance(source, Agent) else Agent.load(source, checkpoint)


def take_parameters(loop: LearningLoop[Any], source: Agent, only: Piece | None) -> str:
    """Replace a loop's parameters by those of another agent that fit; a sentence that says which did not."""
    taken = transfer(source.networks, loop.agent.networks, only)
    slow_critic = jax.tree.map(jnp.copy, taken.networks.critic)  # starts as a copy of the critic
    loop.state = loop.state._replace(networks=taken.networks, slow_critic=slow_critic)
    origin = f" of {source.source}" if source.source else ""
    found = f"Starting from {counted(len(taken.taken), 'array')} of trained parameters{origin}"
    left = list(dict.fromkeys(".".join(re.findall(r"\w+", path)[:4]) for path in taken.left))
    return f"{found}. New, because they don't fit: {', '.join(left)}." if left else f"{found}."
