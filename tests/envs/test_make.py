"""Environments by name: every form of a name, and errors that say how to fix it."""

import functools
import os
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from reverie.config import Config, EnvConfig, ModelConfig
from reverie.envs import Environments, MissingDependencyError, UnknownEnvironmentError, drawing, make_env
from reverie.envs.opening import parse
from reverie.errors import InputError
from reverie.training import inspect


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module "my_suite" that registers "Mine-v3" and has a valid and an invalid factory."""
    module = types.ModuleType("my_suite")
    module.build = lambda **kwargs: CartPoleEnv(**kwargs)  # type: ignore[attr-defined]
    module.not_an_env = lambda: 3  # type: ignore[attr-defined]
    module.build.__module__ = module.not_an_env.__module__ = "my_suite"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_suite", module)
    gym.register("Mine-v3", CartPoleEnv)
    yield module
    del gym.registry["Mine-v3"]


def unwrapped(env: Any, **kwargs: Any) -> Any:
    return make_env(env, **kwargs).unwrapped


def test_every_form_of_a_name(module: types.ModuleType) -> None:
    for name in ("CartPole-v1", "gym/CartPole-v1", "CartPole", "my_suite:build", "my_suite:Mine-v3"):
        assert isinstance(unwrapped(name), CartPoleEnv), name
        assert unwrapped(name, render_mode="rgb_array").render_mode == "rgb_array", name
    assert unwrapped("gymnasium.envs.classic_control.cartpole:CartPoleEnv").render_mode is None
    assert unwrapped(CartPoleEnv, render_mode="rgb_array").render_mode == "rgb_array"


def test_an_environment_object_is_returned_unchanged() -> None:
    env = CartPoleEnv()
    assert make_env(env) is env
    with pytest.raises(TypeError, match=r"accepts no keyword arguments, got \['render_mode'\]"):
        make_env(env, render_mode="rgb_array")


def test_time_limit_is_kept() -> None:
    assert make_env("CartPole-v1").spec.max_episode_steps == 500  # type: ignore[union-attr]
    assert make_env("CartPole-v1", max_episode_steps=7).spec.max_episode_steps == 7  # type: ignore[union-attr]


def test_old_versions_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_env("CartPole-v0")
        make_env("CartPole")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CartPole-v9", r"no environment 'CartPole-v9' \(did you mean 'CartPole-v1' or 'CartPole-v0'\?\)"),
        ("gym/cartpole-v1", "did you mean 'CartPole-v1'"),
        ("reverie/Cach-v0", "did you mean 'reverie/Catch-v0'"),
        ("not an id", "no environment 'not an id': use the id .* 'module:factory'"),
        ("", "no environment ''"),
        ("no_such.module:make", "no module 'no_such'.*PYTHONPATH"),
        ("gymnasium.no_such:make", "no module 'gymnasium.no_such'"),
        ("my_suite:buidl", r"did you mean 'my_suite:build'.* 'my_suite' defines build, not_an_env\."),
    ],
)
def test_unknown_names(name: str, words: str, module: types.ModuleType) -> None:
    with pytest.raises(UnknownEnvironmentError, match=words):
        make_env(name)


def test_anything_but_an_environment_is_refused(module: types.ModuleType) -> None:
    with pytest.raises(TypeError, match=r"'my_suite:not_an_env' returned a builtins.int.*dm_env.Environment"):
        make_env("my_suite:not_an_env")
    with pytest.raises(TypeError, match="3"):
        make_env(3)  # type: ignore[arg-type]


def test_missing_packages(module: types.ModuleType) -> None:
    def needs_gymnasium_extra() -> Any:
        raise gym.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

    def says_nothing() -> Any:
        raise gym.error.DependencyNotInstalled("Box2D is not installed")

    def needs_package() -> Any:
        import no_such_package.part  # noqa: F401

    with pytest.raises(MissingDependencyError, match=r'Box2D is not.*`pip install "gymnasium\[box2d\]"`\.$'):
        make_env(needs_gymnasium_extra)
    with pytest.raises(MissingDependencyError, match=r"Box2D is not installed; run `pip install"):
        make_env(says_nothing)
    with pytest.raises(MissingDependencyError, match=r"'no_such_package'.*`pip install no_such_package`"):
        make_env(needs_package)


def test_a_module_that_lacks_a_package(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_suite.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match="'needy_suite:make' needs the package 'no_such_package'"):
        make_env("needy_suite:make")


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:run", "builtins:exit", "numpy:frombuffer", "os.path:join", "numpy.random:rand"]
)
def test_functions_of_python_and_of_compiled_libraries_are_not_called(name: str) -> None:
    with pytest.raises(
        TypeError, match=f"'{name}' is a function of Python or of a compiled library and was not called"
    ):
        make_env(name)


def test_a_class_of_something_else_is_not_called(module: types.ModuleType) -> None:
    calls = []
    module.Other = type("Other", (), {"__init__": lambda self: calls.append(self)})  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="'my_suite:Other' is not a class of environments and was not called"):
        make_env("my_suite:Other")
    assert not calls


@pytest.mark.parametrize("wrap", [functools.cache, functools.partial])
def test_a_function_may_be_cached_or_have_arguments(wrap: Any, module: types.ModuleType) -> None:
    module.wrapped = wrap(module.build)  # type: ignore[attr-defined]
    assert isinstance(make_env("my_suite:wrapped").unwrapped, gym.Env)


class Placed(CartPoleEnv):
    """Knows which copy it is."""

    def __init__(self, index: int, seed: int = -1, level: str = "easy") -> None:
        super().__init__()
        self.place = index, seed, level


@pytest.mark.parametrize("name", [Placed, "my_suite:Placed"])
def test_factories_get_index_and_seed(name: Any, module: types.ModuleType) -> None:
    module.Placed = Placed  # type: ignore[attr-defined]

    def places(**settings: Any) -> list[Any]:
        with Environments(name, 2, **settings) as envs:
            return [env.unwrapped.place for env in envs._workers.envs]  # type: ignore[attr-defined]

    (first, second), again = places(seed=1), places(seed=2)
    assert (first[0], second[0]) == (0, 1)
    assert len({one[1] for one in (first, second, *again)}) == 4
    assert places(env_kwargs={"seed": 7, "level": "hard"}) == [(0, 7, "hard"), (1, 7, "hard")]
    assert [index for index, *_ in places(held_out=True)] == [1000, 1001]  # training holds the first ones


def test_settings_are_name_and_value() -> None:
    given = ("is_slippery=False", "map_name=8x8", "size=[3, 4]", "scale=0.5", "name=a=b", "empty=")
    assert parse("env.kwargs", given) == {
        "is_slippery": False,
        "map_name": "8x8",
        "size": [3, 4],
        "scale": 0.5,
        "name": "a=b",
        "empty": None,
    }
    with pytest.raises(InputError, match=r"env.kwargs takes name=value, for example is_slippery=False, got 'slippery'"):
        parse("env.kwargs", ("slippery",))
    with pytest.raises(InputError, match="env.kwargs: 'size=.3' has a value that is not valid YAML"):
        parse("env.kwargs", ("size=[3",))


def test_reset_options_reach_every_reset() -> None:
    received = []

    class Optional(CartPoleEnv):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            received.append(options)
            return super().reset(seed=seed, options=options)

    with Environments(Optional, 2, reset_options={"low": 0.0, "high": 0.1}, check=False) as envs:
        envs.reset()
    assert received == [{"low": 0.0, "high": 0.1}] * 2


def test_settings_of_a_config_reach_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    model = ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=8, groups=2, blocks=2)
    inspect("FrozenLake-v1", Config(model=model, env=EnvConfig(kwargs=("map_name=8x8", "is_slippery=False"))))
    assert "one of 64 classes" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"env.kwargs takes name=value, .*got 'map_name'"):
        inspect("FrozenLake-v1", Config(env=EnvConfig(kwargs=("map_name",))))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize("display", [None, ":0"])
def test_without_a_display_pygame_does_not_look_for_one(monkeypatch: pytest.MonkeyPatch, display: str | None) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    drawing.choose_backend.__wrapped__()
    assert os.environ.get("SDL_VIDEODRIVER") == (None if display else "dummy")
