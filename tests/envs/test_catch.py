"""Catch: Gymnasium's contract, its rules, and its chance level."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import reverie.envs  # noqa: F401, registers the ids
from reverie.envs.catch import BALL, PADDLE, Catch

LEFT, STAY, RIGHT = 0, 1, 2


@pytest.mark.parametrize("name", ["reverie/Catch-v0", "reverie/CatchVector-v0"])
@pytest.mark.filterwarnings("error")
def test_gymnasium_contract(name: str) -> None:
    check_env(gym.make(name, disable_env_checker=True).unwrapped)


def play(env: Catch, policy: str, episodes: int) -> list[float]:
    """The return of every episode with a policy: "look" follows the ball, "stay" never moves, "random"."""
    random, returns = np.random.default_rng(0), []
    observation, _ = env.reset(seed=0)
    for _ in range(episodes):
        total, ended = 0.0, False
        while not ended:
            ball, _, paddle, offset = observation
            assert offset == pytest.approx((ball - paddle) / 2, abs=1e-6)
            action = {
                "look": 1 + np.sign(ball - paddle),
                "stay": STAY,
                "random": random.integers(3),
            }[policy]
            observation, reward, ended, truncated, _ = env.step(np.int64(action))
            assert not truncated
            total += float(reward)
        returns.append(total)
        observation, _ = env.reset()
    return returns


@pytest.mark.parametrize(("columns", "rows", "balls"), [(8, 8, 1), (8, 8, 4), (5, 9, 2), (2, 2, 3)])
def test_looking_catches_all_balls(columns: int, rows: int, balls: int) -> None:
    assert set(play(Catch(columns, rows, balls, "vector"), "look", 100)) == {float(balls)}


@pytest.mark.parametrize("policy", ["stay", "random"])
@pytest.mark.parametrize("balls", [1, 3])
def test_chance_level(policy: str, balls: int) -> None:
    env = Catch(balls=balls, observation="vector")
    assert env.chance_return == -0.75 * balls
    returns = play(env, policy, 600)
    error = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - env.chance_return) < 4 * error


def test_one_fall_step_by_step() -> None:
    env = Catch(columns=4, rows=4, observation="vector")
    observation, _ = env.reset(seed=3)
    ball = observation[0]
    ys, rewards, ends = [observation[1]], [], []
    for _ in range(3):
        observation, reward, terminated, _, _ = env.step(np.int64(LEFT))
        assert observation[0] == ball
        ys.append(observation[1])
        rewards.append(reward)
        ends.append(terminated)
    np.testing.assert_allclose(ys, [-1, -1 / 3, 1 / 3, 1], rtol=1e-6)
    assert observation[2] == -1  # from column 2, three steps left, stopped by the wall
    assert rewards == [0, 0, 1 if ball == -1 else -1]
    assert ends == [False, False, True]


def test_the_next_ball_follows() -> None:
    env = Catch(columns=2, rows=2, balls=2, observation="vector")
    env.reset(seed=0)
    steps = [env.step(np.int64(STAY)) for _ in range(3)]
    assert [step[0][1] for step in steps] == [1, -1, 1]
    assert [abs(step[1]) for step in steps] == [1, 0, 1]
    assert [step[2] for step in steps] == [False, False, True]


@pytest.mark.parametrize(("columns", "rows"), [(8, 8), (5, 7), (64, 64)])
def test_the_image_shows_ball_and_paddle(columns: int, rows: int) -> None:
    image_env, vector_env = Catch(columns, rows), Catch(columns, rows, observation="vector")
    image, _ = image_env.reset(seed=1)
    vector, _ = vector_env.reset(seed=1)
    for step in range(rows):
        ball = np.argwhere((image == BALL).all(-1))
        paddle = np.argwhere((image == PADDLE).all(-1))
        seen = [(ball.mean(0)[1], columns, vector[0]), (paddle.mean(0)[1], columns, vector[2])]
        if step < rows - 1:  # in the last row, the paddle may cover part of the ball
            seen.append((ball.mean(0)[0], rows, vector[1]))
        for pixel, cells, coordinate in seen:
            assert int((pixel + 0.5) * cells / 64) == round((coordinate + 1) / 2 * (cells - 1))
        action = np.int64(RIGHT if step % 2 else LEFT)
        if step < rows - 1:
            image, vector = image_env.step(action)[0], vector_env.step(action)[0]


def test_observations_are_not_reused() -> None:
    env = Catch()
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second = env.step(np.int64(LEFT))[0]
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_render() -> None:
    env = Catch(observation="vector", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame is not None
    assert frame.shape == (64, 64, 3)
    assert frame.dtype == np.uint8
    assert Catch().render() is None


@pytest.mark.parametrize(
    "arguments",
    [{"columns": 9}, {"columns": 1}, {"rows": 65}, {"balls": 0}],
)
def test_bad_arguments(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"expected 2 ≤ columns|at least one ball"):
        Catch(**arguments)


def test_bad_observation_name() -> None:
    with pytest.raises((ValueError, TypeError), match="text"):  # TypeError if annotations are checked
        Catch(observation="text")  # type: ignore[arg-type]
