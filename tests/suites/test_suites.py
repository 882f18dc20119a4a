"""Every suite with its real package: creation by name, a few updates, episode ends and seeds."""

from collections.abc import Iterator

import jax
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.envs import make_env
from reverie.envs.suites import SUITES, missing
from reverie.presets import for_suite
from reverie.spaces import Spaces
from reverie.training import Trainer, inspect

TINY = Config(
    model=ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=8, groups=2, blocks=2),
    behaviour=BehaviourConfig(imagination_length=2),
    replay=ReplayConfig(batch=2, length=4),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=40, train_ratio=1, log_every=0, dream_every=0, tensorboard=False),
)


@pytest.fixture(autouse=True)
def _others_may_promote_ranks() -> Iterator[None]:
    """Third-party JAX environments may rely on rank promotion; Reverie itself may not."""
    with jax.numpy_rank_promotion("allow"):
        yield


def needs(suite: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(missing(suite)), reason=f"needs reverie[{SUITES[suite].extra}]")


def each(*suites: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("suite", [pytest.param(name, marks=needs(name)) for name in suites])


@pytest.mark.suite
@each(*SUITES)
def test_trains_for_some_updates(suite, tmp_path):
    trainer = Trainer(SUITES[suite].example, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    trainer.close()
    assert trainer.updates >= 2
    assert len(trainer.loop.replay) >= 30


@pytest.mark.suite
@each(*SUITES)
def test_observations_are_in_their_space_and_a_seed_repeats(suite):
    env = make_env(SUITES[suite].example)
    shown = []
    for _ in range(2):
        observation, _ = env.reset(seed=7)
        assert env.observation_space.contains(observation)
        env.action_space.seed(3)
        for _ in range(20):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert env.observation_space.contains(observation)
            assert np.isfinite(reward)
            if terminated or truncated:
                break
        shown.append(observation)
    env.close()
    if suite != "crafter":  # Crafter's update order depends on memory addresses
        np.testing.assert_equal(shown[0], shown[1])


@pytest.mark.suite
@needs("dmc")
def test_inspect_uses_the_suites_settings(capsys):
    def shown(config: Config | None) -> str:
        inspect("dmc/cartpole_balance", config)
        return capsys.readouterr().out

    assert shown(None) == shown(for_suite("dmc", Config())) != shown(Config())


@pytest.mark.suite
@needs("dmc")
def test_a_time_limit_truncates():
    env = make_env("dmc/cartpole_balance")
    env.reset(seed=0)
    for step in range(1000):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated
        assert truncated == (step == 999)


@pytest.mark.suite
@needs("metaworld")
def test_metaworld_observes_its_goal_and_reports_success():
    env = make_env("metaworld/reach-v3")
    goals = set()
    for _ in range(3):
        observation, _ = env.reset(seed=1 if not goals else None)
        goals.add(tuple(observation[-3:]))
    assert len(goals) == 3
    for step in range(500):
        hand, goal = observation[:3], observation[-3:]
        observation, _, terminated, truncated, info = env.step(np.clip([*(10 * (goal - hand)), 0], -1, 1))
        assert not terminated
        assert truncated == (step == 499)
    assert info["success"] == 1  # the hand has reached the goal


@pytest.mark.suite
@needs("procgen")
def test_procgen_returns_the_final_frame_and_truncates_on_timeout():
    env = make_env("procgen/maze")  # a player that walks into a corner never dies
    env.reset(seed=3)
    before, ended, truncated = None, None, False
    for _ in range(500):
        before, (ended, _, terminated, truncated, _) = ended, env.step(0)
        assert not terminated
    assert truncated
    np.testing.assert_array_equal(before, ended)
    following, _ = env.reset()
    assert np.abs(following.astype(int) - ended).mean() > 10


@pytest.mark.suite
@needs("bsuite")
def test_bsuite_seeds_only_experiments_without_a_seed():
    def shown(name: str, seed: int) -> list[np.ndarray]:
        env = make_env(f"bsuite/{name}")
        env.reset(seed=seed)
        return [np.append(*env.step(0)[:2]) for _ in range(30)]

    np.testing.assert_array_equal(shown("memory_len/0", 1), shown("memory_len/0", 2))
    assert not np.array_equal(shown("catch/0", 1), shown("catch/0", 2))


@pytest.mark.suite
@needs("popgym")
def test_every_popgym_task_is_supported():
    import popgym.envs

    for spec in popgym.envs.ALL.values():
        env = make_env(f"popgym/{spec['id'].removeprefix('popgym-')}")
        observation, _ = env.reset(seed=0)
        Spaces(env.observation_space, env.action_space).check_observation(observation)


@pytest.mark.suite
@each("atari", "bsuite", "dmc", "memory_maze", "metaworld", "minigrid", "openai_gym", "popgym", "procgen")
def test_an_unknown_task_raises_a_helpful_error(suite):
    with pytest.raises(ValueError, match=r"There is no|has no task"):
        make_env(f"{suite}/pongg")


# Atari's preprocessing, against an implementation that uses nothing but the emulator


def plainly_resized(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bilinear resizing: each pixel is a mean of its neighborhood with triangular weights."""
    for axis, size in ((1, width), (0, height)):
        scale = frame.shape[axis] / size
        centers = (np.arange(frame.shape[axis]) + 0.5)[None]
        targets = ((np.arange(size) + 0.5) * scale)[:, None]
        weights = np.clip(1 - np.abs(centers - targets) / max(scale, 1), 0, None)
        weights /= weights.sum(1, keepdims=True)
        frame = np.moveaxis(np.tensordot(weights, frame, (1, axis)), 0, axis)
    return frame


@pytest.mark.suite
@pytest.mark.parametrize("game", ["pong", "breakout", "space_invaders"])
@each("atari", "atari100k")
def test_atari_frame_by_frame(suite, game):
    import ale_py
    from ale_py import roms

    settings = SUITES[suite].kwargs
    env = make_env(f"{suite}/{game}")
    assert env.action_space.n == (18 if suite == "atari" else {"pong": 6, "breakout": 4, "space_invaders": 6}[game])
    observation, _ = env.reset(seed=5)

    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 5)
    ale.setFloat("repeat_action_probability", settings["sticky"])
    ale.loadROM(roms.get_rom_path(game))
    ale.reset_game()
    noops = int(np.random.Generator(np.random.PCG64(np.random.SeedSequence(5))).integers(31))
    for _ in range(noops):
        ale.act(ale_py.Action.NOOP)
    actions = ale.getLegalActionSet() if suite == "atari" else ale.getMinimalActionSet()

    def seen() -> np.ndarray:
        return (ale.getScreenGrayscale()[..., None] if settings["gray"] else ale.getScreenRGB()).astype(float)

    width, height = settings["size"]
    expected = plainly_resized(seen(), width, height)
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert observation.dtype == np.uint8
        assert observation.shape == expected.shape
        # Pillow rounds twice, to whole levels.
        assert np.abs(observation - expected).max() <= 1.01
        action = rng.integers(len(actions))
        observation, reward, terminated, _, _ = env.step(action)
        score, frames = 0, []
        for _ in range(4):
            score += ale.act(actions[action])
            frames.append(seen())
            if ale.game_over():
                break
        assert (reward, terminated) == (score, ale.game_over())
        if terminated:
            break
        expected = plainly_resized(np.maximum(frames[2], frames[3]), width, height)


@pytest.mark.suite
@needs("atari")
def test_game_over_terminates():
    env = make_env("atari100k/pong")
    env.reset(seed=0)
    total, steps, terminated = 0.0, 0, False
    while not terminated:
        _, reward, terminated, truncated, _ = env.step(0)
        total, steps = total + reward, steps + 1
        assert not truncated
    assert total == -21  # the score of a player that never moves
    assert steps > 500
