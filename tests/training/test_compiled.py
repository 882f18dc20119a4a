"""Training in environments written in JAX: records, number of updates and resuming."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.envs import BrokenEnvironmentError, Environments
from reverie.envs.compiled import CompiledEnvironments
from reverie.envs.functional import JaxEnv, Transition
from reverie.training import Trainer, evaluate
from reverie.training.metrics import read_metrics

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=3),
    run=RunConfig(steps=120, train_ratio=1, log_every=0, tensorboard=False),
)


class Walk(JaxEnv):
    """A random position on a line; terminates beyond 3 and is truncated after 7 steps."""

    observation_space = spaces.Box(-20, 20, (2,))  # place and time
    action_space = spaces.Box(-1, 1, (1,))

    def reset(self, key: Any) -> tuple[Any, Any]:
        state = jnp.stack([jax.random.uniform(key, (), minval=-1), 0])
        return state, state

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        place = state[0] + action[0] + jax.random.uniform(key, ())
        state = jnp.stack([place, state[1] + 1])
        info = {"place": {"last": place}, "far": place > 3, "state": state, "nan": jnp.nan}
        return Transition(state, state, place, place > 3, state[1] == 7, info)


class Exploding(Walk):
    def step(self, key: Any, state: Any, action: Any) -> Transition:
        moved = super().step(key, state, action)
        return moved._replace(reward=jnp.where(moved.truncated, jnp.nan, moved.reward))


def trained(config: Config = TINY, logdir: Any = None, env: Any = Walk) -> Trainer:
    trainer = Trainer(env, config, logdir=logdir, quiet=True)
    try:
        trainer.run()
    finally:
        trainer.close()
    return trainer


def held(trainer: Trainer) -> dict[str, np.ndarray]:
    """All records, leaves (N, time, ...)."""
    parts = trainer.loop.replay.parts()
    return {name: x for part in ("records.000000", "latents.000000") for name, x in parts[part][1]().items()}


def assert_same(one: Trainer, other: Trainer) -> None:
    jax.tree.map(np.testing.assert_array_equal, one.loop.state.networks, other.loop.state.networks)
    jax.tree.map(np.testing.assert_array_equal, held(one), held(other))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Trainer:
    return trained(logdir=tmp_path_factory.mktemp("whole"))


def test_it_is_the_compiled_program_unless_asked_otherwise(whole):
    assert isinstance(whole._envs, CompiledEnvironments)
    config = replace(TINY, env=replace(TINY.env, mode="serial"), run=replace(TINY.run, steps=20))
    assert isinstance(trained(config)._envs, Environments)


def test_the_records_are_whole_episodes(whole):
    records = held(whole)
    place, time = records["observation.vector"][..., 0], records["observation.vector"][..., 1]
    first, last, terminal = (records[f"is_{name}"] for name in ("first", "last", "terminal"))
    assert first[:, 0].all()
    np.testing.assert_array_equal(first[:, 1:], last[:, :-1])
    np.testing.assert_array_equal(terminal, place > 3)
    np.testing.assert_array_equal(last, (place > 3) | (time == 7))
    np.testing.assert_array_equal(time, np.where(first, 0, np.roll(time, 1, 1) + 1))
    np.testing.assert_array_equal(records["reward"], np.where(first, 0, place))
    assert (records["action.action"][last] == 0).all()
    # A record's action leads to the next record, plus noise in [0, 1).
    moved = np.diff(place)[~last[:, :-1]]
    done = np.clip(records["action.action"][:, :-1, 0], -1, 1)[~last[:, :-1]]
    assert ((moved - done > -1e-5) & (moved - done < 1 + 1e-5)).all()
    assert len(np.unique(place[first])) == first.sum()
    assert terminal.any()
    assert (last & ~terminal).any()


def test_it_counts_decisions_updates_and_episodes(whole):
    records = held(whole)
    batch = TINY.replay.batch * TINY.replay.length
    assert whole.env_steps == (~records["is_last"]).sum()
    assert whole.env_steps >= TINY.run.steps
    assert whole.loop._steps == -(-batch // 3)
    assert whole.updates == pytest.approx((whole.env_steps - 2 * batch) * TINY.run.train_ratio / batch, abs=2)
    ended = [row["episode/return"] for row in read_metrics(whole._folder.path) if "episode/return" in row]
    expected = np.cumsum(records["reward"], 1)[records["is_last"]]
    assert whole.episodes.count == len(ended) == pytest.approx(len(expected), abs=3)  # the newest are not recorded yet


def test_numbers_of_the_last_infos_are_metrics(whole):
    rows = [row for row in read_metrics(whole._folder.path) if "episode/info/far" in row]
    assert {name for row in rows for name in row if "info" in name} == {
        f"episode/info/{n}" for n in ("far", "place/last")
    }
    assert all(0 <= row["episode/info/far"] <= 1 for row in rows)
    records = held(whole)
    place = records["observation.vector"][..., 0][records["is_last"]]
    assert all(place.min() <= row["episode/info/place/last"] <= place.max() for row in rows)


def test_continued_it_equals_one_in_a_piece(whole, tmp_path):
    trained(replace(TINY, run=replace(TINY.run, steps=60)), tmp_path)
    continued = trained(TINY, tmp_path)
    assert continued.updates == whole.updates
    assert_same(continued, whole)


@pytest.mark.parametrize("home", ["device", "disk"])
def test_every_home_of_replay_holds_the_same(home, whole, tmp_path):
    assert_same(trained(replace(TINY, replay=replace(TINY.replay, home=home)), tmp_path), whole)


def test_a_number_that_is_not_finite_cuts_the_episode_off():
    trainer = trained(replace(TINY, env=replace(TINY.env, restarts=1000)), env=Exploding)
    records = held(trainer)
    assert all(np.isfinite(x).all() for x in records.values() if x.dtype == np.float32)
    np.testing.assert_array_equal(records["is_first"][:, 1:], records["is_last"][:, :-1])
    cut_off = records["is_last"] & ~records["is_terminal"]
    assert (records["observation.vector"][cut_off, 1] == 6).all()  # the seventh step is the one that explodes
    assert trainer._envs.failures >= cut_off.sum() > 0


def test_too_many_such_numbers_end_the_run_which_is_saved(tmp_path):
    with pytest.raises(BrokenEnvironmentError, match="more often than the 2 restarts that env.restarts allows"):
        trained(replace(TINY, env=replace(TINY.env, restarts=2)), tmp_path, Exploding)
    continued = trained(replace(TINY, env=replace(TINY.env, restarts=1000)), tmp_path, Exploding)
    records = held(continued)
    np.testing.assert_array_equal(records["is_first"][:, 1:], records["is_last"][:, :-1])


def test_a_run_may_go_over_to_steps_from_python_and_back(tmp_path):
    for steps, mode in ((40, "auto"), (60, "serial"), (90, "compiled")):
        config = replace(TINY, env=replace(TINY.env, mode=mode), run=replace(TINY.run, steps=steps))
        trainer = trained(config, tmp_path)
    records = held(trainer)
    np.testing.assert_array_equal(records["is_first"][:, 1:], records["is_last"][:, :-1])
    first = records["observation.vector"][records["is_first"]]
    assert len(np.unique(first[:, 0])) == len(first)


def test_the_agent_plays_such_an_environment(whole):
    result = evaluate(whole.agent, Walk, episodes=3)
    assert len(result.returns) == 3
