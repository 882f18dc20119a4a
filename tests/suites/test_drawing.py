"""Fast MuJoCo rendering on a CPU: nearly the same frames."""

import os

import numpy as np
import pytest

from reverie.envs import drawing, make_env
from reverie.envs.suites import missing

pytestmark = [pytest.mark.suite, pytest.mark.skipif(bool(missing("dmc")), reason="needs reverie[dmc]")]


def frames(task: str, fast: bool | None) -> np.ndarray:
    env = make_env(f"dmc_vision/{task}", fast_drawing=fast)
    env.action_space.seed(0)
    shown = [env.reset(seed=1)[0]] + [env.step(env.action_space.sample())[0] for _ in range(5)]
    return np.stack([one["image"] for one in shown]).astype(int)


def quality(env: object) -> tuple[int, int]:
    model = env.unwrapped._env.physics.model  # type: ignore[attr-defined]
    return model.vis.quality.offsamples, model.vis.quality.shadowsize


@pytest.mark.parametrize("task", ["walker_walk", "reacher_easy", "ball_in_cup_catch", "quadruped_walk"])
def test_a_fast_frame_is_nearly_the_same(task):
    plain, fast = frames(task, False), frames(task, True)
    difference = np.abs(plain - fast)
    assert 0 < difference.mean() < 3  # of 255
    assert np.abs(plain.mean() - fast.mean()) < 3
    following = np.abs(np.diff(plain, axis=0)).mean()
    assert following > 0


@pytest.mark.parametrize("asked", [True, False])
def test_fast_drawing_survives_a_reseeding_reset(asked):
    env = make_env("dmc_vision/walker_walk", fast_drawing=asked)
    first = quality(env)
    env.reset(seed=1)
    assert quality(env) == first
    assert (first == (0, drawing.SHADOW_MAP)) == asked


def test_it_is_on_by_default_only_for_rendering_on_a_cpu():
    env = make_env("dmc_vision/walker_walk")
    assert (quality(env) == (0, drawing.SHADOW_MAP)) == drawing.on_cpu()
    assert quality(make_env("dmc/walker_walk")) != (0, drawing.SHADOW_MAP)


@pytest.mark.parametrize("asked", [True, False, None])
def test_gymnasium_mujoco_environments(asked):
    env = make_env("HalfCheetah-v5", render_mode="rgb_array", fast_drawing=asked)
    simple = env.unwrapped.model.vis.quality.shadowsize == drawing.SHADOW_MAP
    assert simple == (drawing.on_cpu() if asked is None else asked)
    env.reset(seed=0)
    assert env.render().std() > 10
    env.close()
    assert make_env("HalfCheetah-v5").unwrapped.model.vis.quality.shadowsize != drawing.SHADOW_MAP


def test_a_chosen_backend_is_kept(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    drawing.choose_backend.__wrapped__()
    assert os.environ["MUJOCO_GL"] == "glfw"
