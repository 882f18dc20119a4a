"""Creates environments from names, factories and objects, with errors that say how to fix a wrong one.

May import: `suites`, `drawing`, `from_dm_env`, `from_dream`, `from_old_gym`; Gymnasium.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import find_highest_version, parse_env_id
from gymnasium.vector import VectorEnv

from reverie.envs import drawing, from_dream, suites
from reverie.envs.from_dm_env import FromDMEnv
from reverie.envs.from_old_gym import FromOldGym
from reverie.envs.functional import JaxEnv, Stepped
from reverie.errors import InputError, ReverieError

EnvLike = str | Callable[..., Any] | gym.Env[Any, Any] | JaxEnv | Any
"""A name, a factory, or an environment of Gymnasium, dm_env or Gym, or written in JAX."""


SHOWN = 10  # functions and classes of a module listed in an error


class UnknownEnvironmentError(InputError):
    """No environment has this name; the message suggests the closest ones."""


class NotAnEnvironmentError(ReverieError, TypeError):
    """The object passed in, or returned by a factory, is not an environment."""


class MissingDependencyError(ReverieError, ImportError):
    """An environment needs a package that is not installed; the message has the command that installs it."""


def exists(env: EnvLike) -> bool:
    """Whether `env` is an environment object, of which there is only one, instead of a way to create many."""
    return not isinstance(env, str | JaxEnv) and not callable(env)


def make_env(env: EnvLike, **kwargs: Any) -> gym.Env[Any, Any]:
    """Create one environment.

    Args:
        env: one of
            - the id of a registered environment: "CartPole-v1", also with the prefix "gym/";
            - an environment of a suite: "atari100k/pong", "dmc/walker_walk", see `reverie.envs.suites`;
            - "module:Name-v0", where importing the module registers the id;
            - "module:factory", a function or class in an importable module;
            - "dream:RUN", the world model of a trained run;
            - a function or class that returns an environment;
            - an environment object: a `gymnasium.Env` is returned unchanged, a `dm_env.Environment` or a `gym.Env`
              (of any version of Gym) is adapted to Gymnasium;
            - an environment written in JAX, see `find_jax_env`.
        **kwargs: passed to whatever creates the environment, for example render_mode="rgb_array". `dmc_vision` and
            registered MuJoCo environments also accept fast_drawing: True or False, see `reverie.envs.drawing`.

    Raises:
        UnknownEnvironmentError: no environment, module or factory has this name.
        MissingDependencyError: a package that the environment needs is not installed.
        NotAnEnvironmentError: `env`, or what it returned, is not an environment; or kwargs were passed along with an
            environment object.
    """
    if (found := find_jax_env(env)) is not None:
        return Stepped(found, **kwargs)
    if (existing := _as_gymnasium(env)) is not None:
        if kwargs:
            raise NotAnEnvironmentError(
                f"An environment object accepts no keyword arguments, got {sorted(kwargs)}: pass its name or a factory."
            )
        return existing
    if not isinstance(env, str) and not callable(env):
        raise NotAnEnvironmentError(
            f"Expected the name of an environment, a function that creates one, or a gymnasium.Env, got {env!r}."
        )
    # Reverie checks spaces, observations and rewards itself; Gymnasium's checker would only add warnings.
    made = _make(env, kwargs, partial(gym.make, disable_env_checker=True))
    adapted = _as_gymnasium(made, kwargs.get("render_mode"))
    if adapted is None:
        do = "derive it from gymnasium.Env or dm_env.Environment"
        if isinstance(made, VectorEnv):
            do = "it holds several environments; use it with --env.mode vector"
        raise NotAnEnvironmentError(
            f"{env!r} returned a {type(made).__module__}.{type(made).__name__}, which is not an environment: {do}."
        )
    for space in ("observation_space", "action_space"):
        if getattr(adapted, space, None) is None:
            raise NotAnEnvironmentError(f"{env!r} returned an environment without {space}: set it in __init__.")
    return adapted


def accepted(env: EnvLike, kwargs: Mapping[str, Any], *, index: int, seed: int) -> dict[str, Any]:
    """Those of `index` and `seed` that a factory accepts by name and that `kwargs` do not set already.

    With them, a factory can choose a port, a display or a level for each copy.
    """
    factory = _factory(env)
    try:
        parameters = inspect.signature(factory).parameters if factory else {}
    except (TypeError, ValueError):  # not written in Python
        return {}
    given = {"index": index, "seed": seed}
    return {name: value for name, value in given.items() if name in parameters and name not in kwargs}


def _factory(env: EnvLike) -> Callable[..., Any] | None:
    """The function or class that creates an environment, if that is how `env` was given."""
    if not isinstance(env, str):
        return env if callable(env) and not isinstance(env, gym.Env | JaxEnv) else None
    module, _, attribute = env.removeprefix("gym/").rpartition(":")
    factory = getattr(sys.modules.get(module), attribute, None) if not suites.suite_of(env) else None
    return factory if callable(factory) else None


def _as_gymnasium(env: Any, render_mode: str | None = None) -> gym.Env[Any, Any] | None:
    """The environment with Gymnasium's interface; None if it is not an environment."""
    if isinstance(env, gym.Env):
        return env
    if isinstance(env, JaxEnv):
        return Stepped(env, render_mode)
    # An object of another package can only exist if that package has been imported.
    if (package := sys.modules.get("dm_env")) and isinstance(env, package.Environment):
        return FromDMEnv(env, render_mode=render_mode)
    if (package := sys.modules.get("gym")) and isinstance(env, package.Env):
        return FromOldGym(env)
    return None


def make_vector_env(env: Any, num_envs: int, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """Create a VectorEnv of N environments.

    Args:
        env: a registered id, for `gymnasium.make_vec`; a function or "module:factory", called with `num_envs`; or a
            VectorEnv, which is returned unchanged. Suites have no VectorEnvs.
        num_envs: N.
        **kwargs: see `make_env`.

    Raises:
        UnknownEnvironmentError, MissingDependencyError: see `make_env`.
        NotAnEnvironmentError: `env`, or what it returned, is not a VectorEnv of N environments.
    """
    if isinstance(env, gym.Env) or (isinstance(env, str) and suites.suite_of(env)):
        raise NotAnEnvironmentError(f"{env!r} is not a gymnasium.vector.VectorEnv: choose a mode other than 'vector'.")
    try:
        made = env if isinstance(env, VectorEnv) else _make(env, {**kwargs, "num_envs": num_envs}, _registered_vector)
    except TypeError as error:
        if "num_envs" not in str(error):
            raise
        raise NotAnEnvironmentError(
            f"{env!r} does not accept num_envs, so it cannot create a VectorEnv ({error}): choose a mode other than "
            "'vector'."
        ) from error
    if not isinstance(made, VectorEnv):
        raise NotAnEnvironmentError(
            f"{env!r} returned a {type(made).__module__}.{type(made).__name__}, which is not a "
            "gymnasium.vector.VectorEnv: choose a mode other than 'vector'."
        )
    if made.num_envs != num_envs:
        raise NotAnEnvironmentError(f"{env!r} has {made.num_envs} environments, expected {num_envs}.")
    return made


def _registered_vector(name: str, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """`gymnasium.make_vec`, whose worker processes are spawned: JAX's threads don't survive a fork."""
    if kwargs.get("vectorization_mode") in ("async", gym.VectorizeMode.ASYNC):
        kwargs["vector_kwargs"] = {"context": "spawn", **kwargs.get("vector_kwargs", {})}
    return gym.make_vec(name, **kwargs)


def find_jax_env(env: EnvLike) -> JaxEnv | None:
    """The environment as a `JaxEnv`, which a compiled program can step; None if it is not written in JAX.

    Found are environments of suites in JAX, such as "craftax/classic", and `JaxEnv` objects and classes, also as
    "module:Class".

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
    """The environment or class with this name, if it belongs to a suite in JAX or is "module:Class"."""
    if suite := suites.suite_of(name):
        return suites.make(name) if suites.SUITES[suite].jax else None
    module, _, attribute = name.rpartition(":")
    return getattr(_import(module), attribute, None) if module and not from_dream.is_dream(name) else None


def _make(env: Any, kwargs: dict[str, Any], registered: Callable[..., Any]) -> Any:
    """Create an environment; `registered` is the function that creates it from a registered id."""
    drawing.choose_backend()
    try:
        return _make_named(env, kwargs, registered) if isinstance(env, str) else env(**kwargs)
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise MissingDependencyError(_how_to_install(env, error)) from error


def _make_named(name: str, kwargs: dict[str, Any], registered: Callable[..., Any]) -> Any:
    if from_dream.is_dream(name):
        return from_dream.make(name, **kwargs)
    if suites.suite_of(name):
        return suites.make(name, **kwargs)
    name = name.removeprefix("gym/")
    module_name, _, attribute = name.rpartition(":")
    module = _import(module_name) if module_name else None
    factory = getattr(module, attribute, None)
    if callable(factory):
        _check_factory(name, module_name, factory, kwargs)
        return factory(**kwargs)
    if not _is_registered(attribute):
        raise UnknownEnvironmentError(
            f"There is no environment {name!r}{_suggestion(attribute, module)}: use the id of a registered "
            "Gymnasium environment, 'package:Name-v0' to import the package that registers it, or "
            f"'module:factory'.{_factories(module)}"
        )
    fast_drawing = kwargs.pop("fast_drawing", None)
    with warnings.catch_warnings():
        # Naming an old version is a choice; Gymnasium's warnings about newer ones are not needed.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*Using the latest versioned environment")
        env = registered(attribute, **kwargs)
    if isinstance(env, gym.Env):
        drawing.simplify_env(env, fast_drawing)
    return env


def _check_factory(name: str, module_name: str, factory: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Refuse what can't create environments or can't be called like this, before it is called.

    The name may come from someone else's run folder, and what it names may do anything when called.
    """
    if isinstance(factory, type) and not _is_class_of_environments(factory):
        raise NotAnEnvironmentError(
            f"{name!r} is not a class of environments and was not called: derive it from gymnasium.Env or "
            "dm_env.Environment, or name a function that returns an environment."
        )
    if module_name.partition(".")[0] in sys.stdlib_module_names or not _is_written_in_python(factory):
        raise NotAnEnvironmentError(
            f"{name!r} is a function of Python or of a compiled library and was not called: name a function or class "
            "of your own that returns an environment, as 'module:factory'."
        )
    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        given = f"with {', '.join(kwargs)}" if kwargs else "without arguments"
        raise NotAnEnvironmentError(f"'{name}' can't be called {given} to make an environment ({error}).") from error
    except ValueError:  # some functions written in C have no signature
        pass


def _is_class_of_environments(cls: type) -> bool:
    # A class can only be derived from another package's if that package has been imported.
    imported = {"dm_env": "Environment", "gym": "Env"}
    others = [getattr(sys.modules[package], base) for package, base in imported.items() if package in sys.modules]
    return issubclass(cls, (gym.Env, VectorEnv, JaxEnv, *others))


def _is_written_in_python(factory: Any) -> bool:
    """Whether a call runs a Python function: not so for functions and methods of compiled modules."""
    while isinstance(factory, partial):
        factory = factory.func
    factory = inspect.unwrap(factory)  # lru_cache and others hide the function
    code = getattr(factory, "__func__", factory)
    call = getattr(type(code), "__call__", None)  # noqa: B004, its type is asked for
    return isinstance(code, type | FunctionType) or isinstance(call, FunctionType)


def _factories(module: ModuleType | None) -> str:
    """A sentence that lists the public functions and classes that a module defines itself."""
    if module is None:
        return ""
    public = {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
    own = [name for name, value in public.items() if getattr(value, "__module__", None) == module.__name__]
    shown = ", ".join(own[:SHOWN]) + (", …" if len(own) > SHOWN else "")
    return f" {module.__name__!r} defines {shown or 'no functions or classes'}."


def _import(module_name: str) -> ModuleType:
    if "/" in module_name or module_name.endswith(".py"):
        name = module_name.removesuffix(".py").lstrip("./").replace("/", ".")
        raise UnknownEnvironmentError(
            f"'{module_name}' is a path; give the module's name, as an import statement has it: '{name}:FUNCTION'."
        )
    if module_name.startswith("."):
        raise UnknownEnvironmentError(f"'{module_name}' is a relative import; give the module's full name.")
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise  # the module exists, but a package that it imports does not
        raise UnknownEnvironmentError(
            f"There is no module {missing!r} to import an environment from: install its package, or add its folder to "
            "PYTHONPATH."
        ) from error


def _is_registered(name: str) -> bool:
    """Whether this id is registered; an id without a version means the latest version."""
    if name in gym.registry:
        return True
    try:
        namespace, bare, version = parse_env_id(name)
    except gym.error.Error:  # not an id at all
        return False
    return version is None and find_highest_version(namespace, bare) is not None


def _suggestion(name: str, module: ModuleType | None) -> str:
    """A suggestion of the closest ids and of the closest functions and classes in the module."""
    if name.endswith(".py"):
        return f" (for a function in this file, write '{name.removesuffix('.py').replace('/', '.')}:FUNCTION')"
    shown = {id_.lower(): id_ for id_ in gym.registry}
    if module is not None:
        shown |= {key.lower(): f"{module.__name__}:{key}" for key, value in vars(module).items() if callable(value)}
    close = [repr(shown[match]) for match in difflib.get_close_matches(name.lower(), shown, n=2)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _how_to_install(env: Any, error: Exception) -> str:
    """One sentence built from Gymnasium's message, or from the name of the module that is missing."""
    if isinstance(error, gym.error.DependencyNotInstalled):
        message = str(error).rstrip(".")
        hint = "" if "pip install" in message else '; run `pip install "gymnasium[all]"`'
        return f"{env!r} needs a package: {message}{hint}."
    if isinstance(env, str) and (suite := suites.suite_of(env)):
        extra = suites.SUITES[suite].extra
        return f'{env!r} needs packages that are not installed ({error}); run `pip install "reverie[{extra}]"`.'
    package = (getattr(error, "name", None) or "?").partition(".")[0]
    return f"{env!r} needs the package {package!r}, which is not installed; run `pip install {package}`."
