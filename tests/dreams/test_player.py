"""Dreams are reproducible, branch, and compare with the recording."""

import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.agent import Agent
from reverie.dreams import Dreamer, player
from reverie.errors import InputError
from reverie.spaces import Discrete, Image
from reverie.storage import Store
from reverie.training import train


def unlike(action: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A different action."""
    return {name: (x == 0).astype(np.int32) if x.dtype.kind == "i" else -x for name, x in action.items()}


def same(ours, theirs) -> bool:
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_a_scene_is_in_the_environments_terms(dreamer):
    dream = dreamer.dream()
    for state in (dream.state, dream.policy_step()):
        scene, spaces = state.scene, dreamer.agent.spaces
        for name, feature in spaces.observation.items():
            value = scene.observation[name]
            assert value.shape == feature.shape
            assert value.dtype == np.uint8 if isinstance(feature, Image) else np.all(np.isfinite(value))
        assert 0 < scene.cont <= 1
        assert scene.reward == scene.value == 0  # untrained heads
        for name, feature in spaces.action.items():
            policy = scene.policy[name]
            if isinstance(feature, Discrete):
                assert policy["probs"].shape == (*feature.shape, feature.classes)
                np.testing.assert_allclose(policy["probs"].sum(-1), 1, rtol=1e-5)
            else:
                assert policy["mean"].shape == policy["std"].shape == feature.shape
        spaces.decode_action({name: x[None] for name, x in scene.action.items()})  # it fits


def test_the_same_seed_and_actions_give_the_same_dream(dreamer):
    first, second, elsewhere = dreamer.dream(1, seed=3), dreamer.dream(1, seed=3), dreamer.dream(1, seed=4)
    for dream in (first, second, elsewhere):
        for _ in range(4):
            dream.policy_step()
    ours, theirs = ([state[:5] for state in dream.states] for dream in (first, second))
    assert same(ours, theirs)
    assert not same([s.latent.stoch for s in first.states], [s.latent.stoch for s in elsewhere.states])


def test_without_a_seed_the_most_likely_happens(dreamer):
    dream = dreamer.dream(0, seed=None)
    model, before = dreamer.agent.world_model, dream.state
    after = dream.policy_step()
    expected = model.imagine(before.latent, {name: jnp.asarray(x)[None] for name, x in before.scene.action.items()})
    np.testing.assert_allclose(after.latent.deter, expected.deter, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.argmax(after.latent.stoch, -1), np.argmax(expected.stoch, -1))


def test_rewind_and_branch(dreamer):
    dream = dreamer.dream()
    for _ in range(3):
        dream.policy_step()
    dream.go(1)
    branch = dream.step(unlike(dream.state.scene.action))
    assert dream.now == 4
    assert (branch.parent, branch.time) == (1, 2)
    assert not same(branch.latent.deter, dream.states[2].latent.deter)
    dream.go(1)
    assert dream.policy_step() is dream.states[2]  # reached before, so not imagined again
    assert dream.now == 2
    assert len(dream.states) == 5


def test_the_recorded_actions_lead_along_what_really_happened(dreamer):
    for number, moment in enumerate(dreamer.moments[:3]):
        dream = dreamer.dream(number)
        for step in range(moment.known + 1):
            truth, at = dream.truth, moment.start + step
            assert same(truth.observation, {name: x[at] for name, x in moment.records.observation.items()})
            assert truth.reward == moment.records.reward[at]
            assert set(truth.error) == set(dreamer.agent.spaces.observation)
            if step < moment.known:
                dream.recorded_step()
        assert dream.recorded_action is None
        with pytest.raises(InputError, match="No recorded action is known here"):
            dream.recorded_step()
        dream.policy_step()
        assert dream.truth is None
        dream.go(0)
        dream.step(unlike(dream.recorded_action))
        assert dream.truth is None  # the recording does not tell


def test_the_truth_is_what_the_environment_does(dreamers):
    """In Catch, the ball falls by one row per step and the paddle follows the action."""
    dreamer, across = dreamers["vector"], 2 / 7
    for number, moment in enumerate(dreamer.moments):
        dream = dreamer.dream(number)
        assert moment.known
        for _ in range(moment.known):
            before, action = dream.truth.observation["vector"], int(dream.recorded_action["action"])
            dream.recorded_step()
            after = dream.truth.observation["vector"]
            assert after[1] == pytest.approx(before[1] + across)
            assert after[2] == pytest.approx(np.clip(before[2] + across * (action - 1), -1, 1))
        caught = after[0] == pytest.approx(after[2])
        assert dream.truth.ended == (after[1] == pytest.approx(1))
        assert dream.truth.reward == (0 if not dream.truth.ended else 1 if caught else -1)


def test_a_dream_begins_with_what_the_agent_believes_then(runs, dreamers):
    dreamer = dreamers["vector"]
    number = next(i for i, moment in enumerate(dreamer.moments) if moment.records.is_first[0])
    records, start = dreamer.moments[number].records, dreamer.moments[number].start
    agent = Agent.load(runs / "vector")
    carry = agent.initial_carry()
    for at in range(start + 1):
        if at:
            carry = carry._replace(action={name: x[at - 1 : at] for name, x in records.action.items()})
        _, carry = agent.act(records.observation["vector"][at], carry, deterministic=True)
    begun = dreamer.dream(number).state.latent
    np.testing.assert_allclose(begun.deter, carry.latent.deter, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.argmax(begun.stoch, -1), np.argmax(carry.latent.stoch, -1))


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (None, "must have the entries"),
        ({"turn": [0, 0]}, "must have the entries"),
        ({"turn": [0, 0], "buttons": [0, 3]}, "must be in 0 to 2"),
        ({"turn": [0, 0], "buttons": [2, 0]}, "must be in 0 to 2"),  # the first button has two
        ({"turn": [0, 0], "buttons": [0.5, 0]}, "must be integers of shape"),
        ({"turn": [0, 0, 0], "buttons": [0, 0]}, "must be numbers of shape"),
        ({"turn": [[0], [0, 0]], "buttons": [0, 0]}, "must be numbers of shape"),
        ({"turn": ["left", "right"], "buttons": [0, 0]}, "must be numbers of shape"),
        ({"turn": [float("nan"), 0], "buttons": [0, 0]}, "must be finite"),
    ],
)
def test_an_action_that_does_not_fit_is_refused(dreamers, action, problem):
    dream = dreamers["everything"].dream()
    with pytest.raises(InputError, match=problem):
        dream.step(action)
    assert len(dream.states) == 1
    dream.step({"turn": [0.5, -1], "buttons": [1, 2]})


def test_a_dream_does_not_grow_for_ever(dreamers, monkeypatch):
    monkeypatch.setattr(player, "LARGEST", 3)
    dream = dreamers["vector"].dream()
    dream.policy_step()
    dream.policy_step()
    with pytest.raises(InputError, match="at most 3 states"):
        dream.policy_step()
    dream.go(0)
    dream.policy_step()  # reached before


def test_states_and_moments_that_are_not_there(dreamers):
    with pytest.raises(InputError, match="moment must be in 0 to 11, got 12"):
        dreamers["vector"].dream(12)
    with pytest.raises(InputError, match="state must be in 0 to 0, got 1"):
        dreamers["vector"].dream().go(1)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(runs, tmp_path):
    run = shutil.copytree(runs / "vector", tmp_path / "run")
    older = Dreamer.load(run).env_steps
    assert Dreamer.load(run).damaged == ()
    config = Agent.load(run).config
    train("reverie/CatchVector-v0", replace(config, run=replace(config.run, steps=80)), logdir=run, quiet=True)
    assert Dreamer.load(run).env_steps == 80
    newest = max((run / "checkpoints/arrays").glob("networks-*"))
    newest.write_bytes(newest.read_bytes()[:-4] + b"\0\0\1\1")
    reopened = Dreamer.load(run)
    assert reopened.env_steps == older
    assert len(reopened.damaged) == 1
    assert newest.name in reopened.damaged[0]
    for file in (run / "checkpoints/arrays").glob("networks-*"):
        file.unlink()
    with pytest.raises(InputError, match="No checkpoint of .* can be read"):
        Dreamer.load(run)


def test_a_run_is_opened_while_it_saves(runs, tmp_path):
    """The run writes a checkpoint after every step while it trains, and removes the one before the last."""
    run, seen = tmp_path / "run", list[int]()
    config = Agent.load(runs / "vector").config
    often = replace(config, run=replace(config.run, steps=2000, checkpoint_every=0))

    def open_it(trainer) -> bool:
        if Store(run / "checkpoints").counts:
            seen.append(Dreamer.load(run, moments=2).env_steps)
        return len(seen) == 15

    train("reverie/CatchVector-v0", often, logdir=run, quiet=True, until=open_it)
    assert len(seen) == 15
    assert seen == sorted(seen)
    assert len(set(seen)) > 5


def test_what_holds_no_run_or_no_checkpoint(runs, tmp_path):
    with pytest.raises(InputError, match="There is no run in"):
        Dreamer.load(tmp_path)
    (tmp_path / "agent.json").write_bytes((runs / "vector" / "agent.json").read_bytes())
    with pytest.raises(InputError, match="has no checkpoint yet"):
        Dreamer.load(tmp_path)


def test_moments_stay_within_their_episode(dreamer):
    for moment in dreamer.moments:
        assert 0 <= moment.start < len(moment.records.reward)
        assert not moment.records.is_first[1:].any()
        assert not moment.records.is_last[:-1].any()
