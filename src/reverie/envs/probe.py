"""Checks before a run starts: does an environment have Gymnasium's interface, and can copies of it share a process?

The copies created for these checks are closed again and the global random generators are restored, so the environments
of the run are not affected.

May import: `reverie.spaces`, `guard`, `functional`, `masks`; Gymnasium.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.envs.functional import Stepped
from reverie.envs.guard import OLDER, Guarded, InterfaceError, checked_reset, checked_step
from reverie.envs.masks import find_mask, lacks_mask
from reverie.errors import InputError
from reverie.spaces import MASK, can_be_masked

SEED = 0
STEPS = 32  # of an episode, to compare
BUDGET = 0.1  # seconds of stepping per episode
SLOWEST = 2.0  # seconds to create and step a copy; slower environments are not compared
CONFIRMATIONS = 3  # further episodes that must agree before interference is reported

Make = Callable[[int], Guarded]  # creates a copy from its seed
Trace = list[tuple[Any, float, tuple[bool, bool]]]
PARTS = ("observations", "rewards", "episode ends")  # of each step of a trace


class SharedSimulatorError(InputError):
    """Copies of an environment in one process disturb each other."""


def probe(make: Make, neighbor: Make | None = None) -> bool:
    """Reset and step one copy; if `neighbor` creates a second one, also check that it does not disturb the first.

    Returns:
        Whether the info of the first reset has a mask of the actions, which `MaskFromInfo` should copy into the
        observation.

    Raises:
        InterfaceError: reset or step do not have Gymnasium's interface. Any other error of a copy is left to the run,
            which may restart its environments.
        SharedSimulatorError: the second copy changes what the first one returns.
    """
    started = time.monotonic()
    with _discarded(make) as env:
        if isinstance(env.unwrapped, Stepped):  # one of Reverie's adapters, and pure functions
            return False
        masked = _check_interface(env)
        if neighbor is None:
            return masked
        with _SuppressingAllBut(SharedSimulatorError):
            alone = _episode(env, None, STEPS, time.monotonic() + BUDGET)
            if time.monotonic() - started < SLOWEST:
                with _discarded(neighbor) as other:
                    _check_isolation(env, other, alone)
    return masked


def has_mask_in_info(make: Make) -> bool:
    """Whether the info of a reset has a mask of the actions; for environment objects, which are reset, not closed."""
    with _global_generators_kept(), contextlib.suppress(Exception, SystemExit):
        env = make(SEED)
        return _lacks_mask(env) and MASK in env.reset(seed=SEED)[1]
    return False


def _lacks_mask(env: Guarded) -> bool:
    return lacks_mask(env.env.observation_space, env.action_space)


def _check_interface(env: Guarded) -> bool:
    """Check the signatures of all layers, then what they return, from the outermost to the innermost layer.

    Returns:
        Whether the info of the first reset has a mask that the observation lacks.
    """
    layers = _layers(env.env)
    for layer in layers:
        _check_signature(layer)
    masked = False
    with _SuppressingAllBut(InterfaceError):
        observation, info = env.reset(seed=SEED)
        masked = _lacks_mask(env) and MASK in info
        env.step(_sample(_actions(env.action_space), observation, info))
        return masked
    # A wrapper may have failed on what it got from the environment inside it.
    for layer in reversed(layers):
        with _SuppressingAllBut(InterfaceError):
            observation, info = checked_reset(layer, layer.reset(seed=SEED, options=None))
            checked_step(layer, layer.step(_sample(_actions(layer.action_space), observation, info)))
    return masked


def _check_signature(layer: gym.Env[Any, Any]) -> None:
    try:
        parameters = inspect.signature(layer.reset).parameters
    except (TypeError, ValueError):  # not written in Python
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    missing = [repr(name) for name in ("seed", "options") if name not in parameters]
    if missing:
        raise InterfaceError(
            f"The reset() of {type(layer).__name__!r} does not accept {' and '.join(missing)}: define it as 'def "
            f"reset(self, *, seed=None, options=None)' and return (observation, info). {OLDER}"
        )


def _check_isolation(env: Guarded, other: Guarded, alone: Trace) -> None:
    """Compare the copy with itself while another one is stepped; only what is always the same alone counts."""
    steps = len(alone)
    again, beside = _episode(env, None, steps), _episode(env, other, steps)
    suspects = [part for part in range(len(PARTS)) if _same(alone, again, part) and not _same(alone, beside, part)]
    for _ in range(CONFIRMATIONS if suspects else 0):
        again, beside_again = _episode(env, None, steps), _episode(env, other, steps)
        suspects = [part for part in suspects if _same(alone, again, part) and _same(beside, beside_again, part)]
    if suspects:
        raise SharedSimulatorError(
            f"Copies of {type(env.unwrapped).__name__!r} in one process disturb each other: {PARTS[suspects[0]]} of "
            "one copy change when another one is stepped, as if they shared one simulator. Use --env.mode parallel, "
            "which runs each copy in its own process, or --env.envs 1."
        )


def _episode(env: Guarded, neighbor: Guarded | None, steps: int, deadline: float = np.inf) -> Trace:
    """At most `steps` steps of an episode with a fixed seed and fixed actions, each followed by one of the neighbor."""
    actions, others = _actions(env.action_space), _actions(env.action_space)
    observation, info = env.reset(seed=SEED)
    beside = _reset_neighbor(neighbor) if neighbor is not None else ()
    trace: Trace = []
    while len(trace) < steps and (not trace or time.monotonic() < deadline):
        action = _sample(actions, observation, info)
        observation, reward, terminated, truncated, info = env.step(action)
        ends = terminated, truncated
        trace.append((copy.deepcopy(observation), reward, ends))
        if any(ends):
            break
        if neighbor is not None:
            with _global_generators_kept():
                seen, _, terminated, truncated, told = neighbor.step(_sample(others, *beside))
            beside = _reset_neighbor(neighbor) if terminated or truncated else (seen, told)
    return trace


def _reset_neighbor(neighbor: Guarded) -> tuple[Any, dict[str, Any]]:
    """Reset a copy without touching the random generators that all copies share, which is harmless interference."""
    with contextlib.suppress(AttributeError):  # spaces of the class, and their generators, are shared, too
        inner = neighbor.unwrapped
        inner.observation_space, inner.action_space = map(copy.deepcopy, (inner.observation_space, inner.action_space))
    with _global_generators_kept():
        return neighbor.reset(seed=SEED + 1)


def _same(one: Trace, other: Trace, part: int) -> bool:
    """Whether two traces agree in one part as far as both go; ends must agree in their number, too."""
    if PARTS[part] == "episode ends" and len(one) != len(other):
        return False
    try:
        for mine, theirs in zip(one, other, strict=False):
            np.testing.assert_equal(mine[part], theirs[part])
    except AssertionError:
        return False
    return True


def _layers(env: Any) -> list[gym.Env[Any, Any]]:
    """An environment and those inside it, from the outermost to the innermost."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return layers


def _actions(space: gym.Space[Any]) -> gym.Space[Any]:
    """A copy of the space to sample from: the environment's own generator stays untouched."""
    copied = copy.deepcopy(space)
    copied.seed(SEED)
    return copied


def _sample(actions: gym.Space[Any], observation: Any, info: Mapping[str, Any]) -> Any:
    """A random action that is allowed by the mask in the observation or in the info, if there is one."""
    mask = find_mask(observation, info)
    if mask is None or not can_be_masked(actions):
        return actions.sample()
    return actions.sample(np.asarray(mask).astype(np.int8))


@contextlib.contextmanager
def _discarded(make: Make) -> Iterator[Guarded]:
    """A copy that is closed at the end, with the global random generators restored."""
    with _global_generators_kept():
        env = make(SEED)
        try:
            yield env
        finally:
            with contextlib.suppress(Exception, SystemExit):
                env.close()


@contextlib.contextmanager
def _global_generators_kept() -> Iterator[None]:
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


class _SuppressingAllBut:
    """A context that suppresses the errors of an environment, except those of one kind."""

    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        return isinstance(error, Exception | SystemExit) and not isinstance(error, self._kind)
