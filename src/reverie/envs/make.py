"""An environment by its name, with errors that say what to do.

May import: `suites`, `drawing`, `from_dm_env`, `from_old_gym`; Gymnasium.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import find_highest_version, parse_env_id
from gymnasium.vector import VectorEnv

from reverie.envs import drawing, suites
from reverie.envs.from_dm_env import FromDMEnv
from reverie.envs.from_old_gym import FromOldGym
from reverie.envs.functional import JaxEnv, Stepped
from reverie.errors import InputError, ReverieError

EnvLike = str | Callable[..., Any] | gym.Env[Any, Any] | JaxEnv | Any
"""A name, a function that makes an environment, or an environment: of Gymnasium, of dm_env, of Gym or in JAX."""


class UnknownEnvironmentError(InputError):
    """No environment has this name; the message has the closest ones."""


class NotAnEnvironmentError(ReverieError, TypeError):
    """What was given, or what a factory made, is no environment."""


class MissingDependencyError(ReverieError, ImportError):
    """An environment exists, but a package that it needs is not installed; the message has the command."""


def exists(env: EnvLike) -> bool:
    """Whether this is an environment already, of which there is one, and no way to make as many as one likes."""
    return not isinstance(env, str | JaxEnv) and not callable(env)


def make_env(env: EnvLike, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make one environment.

    Args:
        env: one of
            - the id of a registered environment: "CartPole-v1", also with the prefix "gym/";
            - one of a suite: "atari100k/pong", "dmc/walker_walk", see `reverie.envs.suites`;
            - "module:Name-v0", where importing the module registers the id;
            - "module:factory", a function or class in a module that can be imported;
            - a function or class that returns an environment;
            - an environment: one of Gymnasium is returned as it is, a `dm_env.Environment` and a `gym.Env` (of any
              version of Gym) as one of Gymnasium;
            - one that is written in JAX, see `find_jax_env`.
        **kwargs: go to whatever makes the environment, for instance render_mode="rgb_array". `dmc_vision` and
            registered environments that MuJoCo draws also take fast_drawing: True or False, see `reverie.envs.drawing`.

    Raises:
        UnknownEnvironmentError: no environment, module or factory has this name.
        MissingDependencyError: a package that the environment needs is not installed.
        NotAnEnvironmentError: what was given or made is no environment, or an environment was given kwargs.
    """
    if (found := find_jax_env(env)) is not None:
        return Stepped(found, **kwargs)
    if (existing := _as_gymnasium(env)) is not None:
        if kwargs:
            raise NotAnEnvironmentError(f"an environment that exists already takes no arguments, got {sorted(kwargs)}")
        return existing
    if not isinstance(env, str) and not callable(env):
        raise NotAnEnvironmentError(
            f"expected an environment's name, a function that makes one or a gymnasium.Env, got {env!r}"
        )
    drawing.choose_backend()
    # Gymnasium's checker warns at length; Reverie checks spaces, observations and rewards itself.
    made = _make(env, kwargs, partial(gym.make, disable_env_checker=True))
    adapted = _as_gymnasium(made, kwargs.get("render_mode"))
    if adapted is None:
        do = "derive from gymnasium.Env or dm_env.Environment"
        if isinstance(made, VectorEnv):
            do = "it has several environments, for which there is the mode 'vector'"
        raise NotAnEnvironmentError(
            f"{env!r} made a {type(made).__module__}.{type(made).__name__}, which is no environment: {do}"
        )
    return adapted


def _as_gymnasium(env: Any, render_mode: str | None = None) -> gym.Env[Any, Any] | None:
    """The environment with Gymnasium's interface; None if it is none."""
    if isinstance(env, gym.Env):
        return env
    if isinstance(env, JaxEnv):
        return Stepped(env, render_mode)
    # Whoever has an environment of another package has imported that package.
    if (package := sys.modules.get("dm_env")) and isinstance(env, package.Environment):
        return FromDMEnv(env, render_mode=render_mode)
    if (package := sys.modules.get("gym")) and isinstance(env, package.Env):
        return FromOldGym(env)
    return None


def make_vector_env(env: Any, num_envs: int, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """Make a VectorEnv of N environments.

    Args:
        env: as for `make_env`, but no suite: a registered id is made by `gymnasium.make_vec`; a function, or
            "module:factory", is called with `num_envs`; or a VectorEnv, which is returned as it is.
        num_envs: N.
        **kwargs: as for `make_env`.

    Raises:
        UnknownEnvironmentError, MissingDependencyError: as for `make_env`.
        NotAnEnvironmentError: what was given or made is no VectorEnv, or has another number of environments.
    """
    if isinstance(env, gym.Env) or (isinstance(env, str) and suites.suite_of(env)):
        raise NotAnEnvironmentError(f"{env!r} is no gymnasium.vector.VectorEnv: choose another mode than 'vector'")
    try:
        made = env if isinstance(env, VectorEnv) else _make(env, {**kwargs, "num_envs": num_envs}, gym.make_vec)
    except TypeError as error:
        if "num_envs" not in str(error):
            raise
        raise NotAnEnvironmentError(f"{env!r} takes no num_envs, so it makes no VectorEnv ({error})") from error
    if not isinstance(made, VectorEnv):
        raise NotAnEnvironmentError(
            f"{env!r} made a {type(made).__module__}.{type(made).__name__}, which is no gymnasium.vector.VectorEnv: "
            "choose another mode than 'vector'"
        )
    if made.num_envs != num_envs:
        raise NotAnEnvironmentError(f"{env!r} has {made.num_envs} environments, but {num_envs} were asked for")
    return made


def find_jax_env(env: EnvLike) -> JaxEnv | None:
    """The environment as one that a compiled program can step, if it is written in JAX; None if it isn't.

    These are: one of a suite in JAX, such as "craftax/classic"; a `JaxEnv`; a class of these, also as "module:Class".

    Raises:
        MissingDependencyError: a package that the environment needs is not installed.
    """
    if isinstance(env, JaxEnv):
        return env
    try:
        found = _named_jax_env(env) if isinstance(env, str) else env
    except ModuleNotFoundError as error:
        raise MissingDependencyError(_how_to_install(env, error)) from error
    if isinstance(found, type) and issubclass(found, JaxEnv):
        return found()
    return found if isinstance(found, JaxEnv) else None


def _named_jax_env(name: str) -> Any:
    """What has the name, if it is one of a suite in JAX or "module:Class"."""
    if suite := suites.suite_of(name):
        return suites.make(name) if suites.SUITES[suite].jax else None
    module, _, attribute = name.rpartition(":")
    return getattr(_import(module), attribute, None) if module else None


def _make(env: Any, kwargs: dict[str, Any], registered: Callable[..., Any]) -> Any:
    """`registered` makes what has a registered id."""
    try:
        return _make_named(env, kwargs, registered) if isinstance(env, str) else env(**kwargs)
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise MissingDependencyError(_how_to_install(env, error)) from error


def _make_named(name: str, kwargs: dict[str, Any], registered: Callable[..., Any]) -> Any:
    if suites.suite_of(name):
        return suites.make(name, **kwargs)
    name = name.removeprefix("gym/")
    module_name, _, attribute = name.rpartition(":")
    module = _import(module_name) if module_name else None
    factory = getattr(module, attribute, None)
    if callable(factory):
        _check_signature(name, factory, kwargs)
        return factory(**kwargs)
    if not _is_registered(attribute):
        raise UnknownEnvironmentError(
            f"There is no environment {name!r}{_suggestion(attribute, module)}: give the id of a registered "
            "Gymnasium environment, 'package:Name-v0' to import the package that registers it, or "
            "'module:factory'."
        )
    fast_drawing = kwargs.pop("fast_drawing", None)
    with warnings.catch_warnings():
        # That there are newer versions of an environment is no news to someone who names this one.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*Using the latest versioned environment")
        env = registered(attribute, **kwargs)
    if isinstance(env, gym.Env):
        drawing.simplify_env(env, fast_drawing)
    return env


def _check_signature(name: str, factory: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Raise an error for a function that can't be called like a factory, before it is called."""
    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        given = f"with {', '.join(kwargs)}" if kwargs else "without arguments"
        raise NotAnEnvironmentError(f"'{name}' can't be called {given} to make an environment ({error}).") from error
    except ValueError:  # some functions written in C have no signature
        pass


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise  # the module is there, but something that it imports isn't
        raise UnknownEnvironmentError(
            f"There is no module {missing!r} to take an environment from: "
            "install the package that has it, or put its folder on PYTHONPATH."
        ) from error


def _is_registered(name: str) -> bool:
    """Whether Gymnasium knows this id; without a version it takes the latest one."""
    if name in gym.registry:
        return True
    try:
        namespace, bare, version = parse_env_id(name)
    except gym.error.Error:  # no id at all
        return False
    return version is None and find_highest_version(namespace, bare) is not None


def _suggestion(name: str, module: ModuleType | None) -> str:
    """What was perhaps meant: the closest ids, and the closest names in the module."""
    shown = {id_.lower(): id_ for id_ in gym.registry}
    if module is not None:
        shown |= {key.lower(): f"{module.__name__}:{key}" for key in vars(module)}
    close = [repr(shown[match]) for match in difflib.get_close_matches(name.lower(), shown, n=2)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _how_to_install(env: Any, error: Exception) -> str:
    """One sentence from Gymnasium's message, or from the name of the module that Python missed."""
    if isinstance(error, gym.error.DependencyNotInstalled):
        message = str(error).rstrip(".")
        hint = "" if "pip install" in message else '; run `pip install "gymnasium[all]"`'
        return f"{env!r} needs a package: {message}{hint}."
    if isinstance(env, str) and (suite := suites.suite_of(env)):
        extra = suites.SUITES[suite].extra
        return f'{env!r} needs packages that are not installed ({error}); run `pip install "reverie[{extra}]"`.'
    package = (getattr(error, "name", None) or "?").partition(".")[0]
    return f"{env!r} needs the package {package!r}, which is not installed; run `pip install {package}`."
