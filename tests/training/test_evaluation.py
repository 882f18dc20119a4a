"""Evaluation: whole episodes, evenly spread, repeatable."""

import subprocess

import gymnasium as gym
import imageio_ffmpeg as ffmpeg
import numpy as np
import pytest

import reverie
from reverie.config import Config, ModelConfig
from reverie.spaces import Spaces

CONFIG = Config(model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4))


class Uneven(gym.Env):
    """Every other instance has episodes of 2 steps, the rest have 20; the reward is 1 per step."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    made = 0

    def __init__(self):
        self.length = 2 if Uneven.made % 2 else 20
        Uneven.made += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(1, np.float32), 1.0, False, self.count == self.length, {}


@pytest.fixture(scope="module")
def agent() -> reverie.Agent:
    env = Uneven()
    return reverie.Agent(Spaces(env.observation_space, env.action_space), CONFIG)


def test_short_episodes_do_not_count_more_often(agent):
    Uneven.made = 0
    result = reverie.evaluate(agent, Uneven, episodes=6, envs=2)
    assert sorted(result.returns) == [2, 2, 2, 20, 20, 20]
    assert sorted(result.lengths) == [2, 2, 2, 20, 20, 20]
    assert result.mean == 11
    assert result.std == 9
    assert result.mean_length == 11


def test_a_seed_repeats_and_another_differs():
    agent = reverie.Agent(Spaces.from_env(gym.make("Pendulum-v1")), CONFIG)
    play = lambda seed, **kwargs: reverie.evaluate(agent, "Pendulum-v1", episodes=2, seed=seed, **kwargs).returns  # noqa: E731
    assert play(1) == play(1)
    assert play(1) != play(2)
    assert play(1, deterministic=True) != play(1)


def test_another_environment_is_refused(agent):
    with pytest.raises(ValueError, match="The agent was trained for"):
        reverie.evaluate(agent, "CartPole-v1", episodes=1)


class Endless(Uneven):
    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, False, {}


def test_a_task_without_an_end_is_cut_off_which_is_said(agent):
    result = reverie.evaluate(agent, Endless, episodes=4, envs=2, max_steps=15)
    assert result.lengths == (15, 15)  # one for each environment, which then has no further ones
    assert result.cut_off == 2
    assert "2 of them had not ended after 15 steps" in str(result)
    assert repr(result) == f"<Evaluation: {result}>"
    mixed = reverie.evaluate(agent, Uneven, episodes=4, envs=2, max_steps=15)
    assert sorted(mixed.lengths) == [2, 2, 15]
    assert mixed.cut_off == 1


class Filmed(Uneven):
    """Every episode has 2 steps, and its picture is the step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012, as Gymnasium has it

    def __init__(self, render_mode: str | None = None):
        self.render_mode, self.length = render_mode, 2

    def render(self):
        return np.full((8, 8, 3), 80 * self.count, np.uint8)


def test_a_film_shows_whole_episodes_at_the_environments_frame_rate(agent, tmp_path):
    path = tmp_path / "film.mp4"
    reverie.evaluate(agent, Filmed, episodes=5, video=path, video_episodes=2)
    decode = [ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    decoded = subprocess.run(decode, capture_output=True, check=True)
    frames = np.frombuffer(decoded.stdout, np.uint8).reshape(-1, 64).mean(1)
    assert frames == pytest.approx([0, 80, 160] * 2, abs=4)
    assert b"5 fps" in decoded.stderr
    with pytest.raises(ValueError, match="video_episodes must be between 1 and the 5 episodes, got 6"):
        reverie.evaluate(agent, Filmed, episodes=5, video=path, video_episodes=6)
