"""Masked actions, from the environment to the policy and the imagination: none that a mask forbids is ever taken."""

import sys
from dataclasses import replace
from functools import cache, partial
from typing import Any

import cloudpickle
import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import reverie
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.dreams import Dreamer
from reverie.envs import BrokenEnvironmentError, Environments, MaskFromInfo
from reverie.envs.compiled import CompiledEnvironments
from reverie.envs.functional import JaxEnv, Transition
from reverie.errors import InputError
from reverie.learner import TEXTBOOK, Learner
from reverie.presets import DEMO
from reverie.spaces import Spaces
from reverie.training import Trainer, evaluate, inspect
from reverie.tuned import cpu, gpu
from reverie.world_model import Latent

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes can't import this file

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2, restarts=0),
    run=RunConfig(steps=60, train_ratio=1, log_every=0, dream_every=0, tensorboard=False),
)
CARDS = 4
ILLEGAL = list[int]()  # moves, by all copies in this process


class Cards(gym.Env[Any, Any]):
    """Lay down cards with random numbers, each of them once: +1 for the smallest that is left, else 0.

    Laying down a card twice raises an error. Actions count from 3. A player who knows only the rules gets 25 / 12 on
    average; the best one 4.
    """

    action_space = spaces.Discrete(CARDS, start=3)
    numbers = spaces.Box(0, 1, (CARDS,), np.float32)
    observation_space: Any = spaces.Dict({"observation": numbers, "action_mask": spaces.Box(0, 1, (CARDS,), np.int8)})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.cards, self.left = self.np_random.random(CARDS).astype(np.float32), np.ones(CARDS, np.int8)
        return self.shown()

    def step(self, action: Any) -> Any:
        card = int(action) - 3
        if not self.left[card]:
            ILLEGAL.append(card)
            raise RuntimeError(f"card {card} is no longer there")
        best = card == np.argmin(np.where(self.left, self.cards, 2))
        self.left[card] = 0
        observation, info = self.shown()
        return observation, float(best), not self.left.any(), False, info

    def shown(self) -> tuple[Any, dict[str, Any]]:
        return {"observation": self.cards * self.left, "action_mask": self.left.copy()}, {}


class InfoCards(Cards):
    """The mask is in the info, and missing in an episode's last one."""

    observation_space = Cards.numbers

    def shown(self) -> tuple[Any, dict[str, Any]]:
        observation, _ = super().shown()
        return observation["observation"], {"action_mask": observation["action_mask"]} if self.left.any() else {}


class JaxCards(JaxEnv):
    """`Cards` in JAX. An illegal move gives a reward that is not a number, which ends a run without restarts."""

    action_space = Cards.action_space
    observation_space = spaces.Dict({"observation": Cards.numbers, "action_mask": spaces.MultiBinary(CARDS)})

    def reset(self, key: Any) -> tuple[Any, Any]:
        state = jax.random.uniform(key, (CARDS,)), jnp.ones(CARDS, jnp.int8)
        return state, self.shown(state)

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        (cards, left), card = state, action - 3
        best = card == jnp.argmin(jnp.where(left == 1, cards, 2))
        reward = jnp.where(left[card] == 1, best.astype(jnp.float32), jnp.nan)
        state = cards, left.at[card].set(0)
        return Transition(state, self.shown(state), reward, ~state[1].any(), jnp.zeros((), bool))

    def shown(self, state: Any) -> Any:
        return {"observation": state[0] * state[1], "action_mask": state[1]}


SPACES = Spaces(Cards.observation_space, Cards.action_space)


@cache
def agent() -> reverie.Agent:
    """An untrained agent, whose first illegal move would come soon without a mask: in 9 of 10 episodes."""
    return reverie.Agent(SPACES, TINY)


@pytest.fixture(autouse=True)
def nothing_illegal() -> Any:
    """Also not in checks of the environment, which forgive errors."""
    yield
    assert not ILLEGAL


# Acting.


@pytest.mark.parametrize("env", [Cards, InfoCards])
def test_training_takes_no_masked_action(env: Any, tmp_path: Any) -> None:
    trainer = Trainer(env, TINY, logdir=tmp_path / "run", quiet=True)
    trained = trainer.run()
    trainer.close()
    assert trainer.updates > 0
    assert trained.spaces.fits(agent().spaces)
    records = trainer.loop.replay.parts()["records.000000"][1]()
    assert set(records["observation.action_mask"].ravel()) == {0, 1}
    dreamer = Dreamer.load(tmp_path / "run", moments=1)
    dream = dreamer.dream()
    for _ in range(5):
        scene = dream.state.scene
        allowed = scene.observation["action_mask"] == 1 if scene.observation["action_mask"].any() else np.ones(CARDS)
        np.testing.assert_array_equal(scene.policy["action"]["probs"] > 0, allowed)
        assert allowed[scene.action["action"]]
        dream.policy_step()
    with Environments(f"dream:{tmp_path / 'run'}", 2) as envs:  # an environment that is the model's dream
        step = envs.reset()
        for _ in range(10):
            mask = step.observation["action_mask"]
            assert mask.any(-1).all()
            step = envs.step({"action": mask.argmax(-1)})


def test_the_compiled_program_takes_no_masked_action() -> None:
    trainer = Trainer(JaxCards, TINY, quiet=True)
    trainer.run()
    trainer.close()
    assert isinstance(trainer._envs, CompiledEnvironments)
    assert trainer.updates > 0
    assert trainer._envs.failures == 0


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("env", [Cards, InfoCards, JaxCards])
def test_evaluation_takes_no_masked_action(env: Any, deterministic: bool) -> None:
    result = evaluate(agent(), env, episodes=8, deterministic=deterministic)
    assert result.mean_length == CARDS


class BatchedCards(SyncVectorEnv):
    """Its final observations are a batch, as in natively vectorized environments."""

    def step(self, actions: Any) -> Any:
        *rest, info = super().step(actions)
        if "final_obs" in info:
            info["final_obs"] = np.stack([np.zeros(CARDS, np.float32) if x is None else x for x in info["final_obs"]])
        return *rest, info


KINDS = [(SyncVectorEnv, Cards), (SyncVectorEnv, InfoCards), (BatchedCards, InfoCards)]


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("make", "card"), KINDS)
def test_vector_environments_take_no_masked_action(make: Any, card: Any, mode: AutoresetMode) -> None:
    env = make([card] * 3, autoreset_mode=mode)
    assert evaluate(agent(), env, episodes=9, mode="vector").mean_length == CARDS


@pytest.mark.parametrize("mode", ["parallel", "async"])
def test_workers_take_no_masked_action(mode: Any) -> None:
    with Environments(InfoCards, 2, mode=mode) as envs:
        assert envs.spaces.fits(SPACES)
        step, carry, ended = envs.reset(), agent().initial_carry(2), 0
        while ended < 6:
            raw = {"observation": step.observation["observation"], "action_mask": step.observation["action_mask"]}
            action, carry = agent().act(raw, carry, is_first=step.is_first)
            step = envs.step({"action": action - 3})
            ended += int((step.is_last & envs.ready).sum())


def test_an_environment_object_is_asked_for_a_mask_too() -> None:
    assert evaluate(agent(), InfoCards(), episodes=3).mean_length == CARDS


def test_act_and_details_respect_the_mask() -> None:
    env, carry = MaskFromInfo(InfoCards()), agent().initial_carry()
    observation, _ = env.reset(seed=0)
    for _ in range(CARDS):
        allowed = observation["action_mask"] == 1
        action, carry = agent().act(observation, carry)
        details = agent().details(carry)
        (probabilities,) = details.policy["action"]["probabilities"]
        np.testing.assert_array_equal(probabilities > 0, allowed)
        np.testing.assert_allclose(details.log_prob, np.log(probabilities[action - 3]), atol=1e-6)
        np.testing.assert_allclose(details.entropy["action"], np.log(allowed.sum()), atol=1e-2)  # nearly uniform
        observation, *_ = env.step(action)


@pytest.mark.parametrize("setting", ["encoder_keys", "decoder_keys"])
def test_the_mask_is_always_seen_and_predicted(setting: str) -> None:
    config = replace(TINY, model=replace(TINY.model, **{setting: "observation"}))
    chosen = reverie.Agent(SPACES, config)
    assert "action_mask" in dict(chosen.world_model.encoder.features)
    assert "action_mask" in dict(chosen.world_model.decoder.features)
    mask = np.int8([0, 0, 1, 0])
    action, _ = chosen.act({"observation": np.zeros(CARDS, np.float32), "action_mask": mask}, chosen.initial_carry())
    assert action == 5


def test_inspect_says_what_the_mask_does(capsys: pytest.CaptureFixture[str]) -> None:
    inspect(InfoCards, TINY)
    assert "action_mask: 4 of 2 classes → vector trunk; masks the action" in capsys.readouterr().out


# Imagination.


def predicting(biases: Any) -> Any:
    """Networks that predict a mask: always the same one, or by chance one that depends on the state."""
    learner = Learner(SPACES.observation, SPACES.action, TINY)
    networks = jax.jit(learner.init)(jax.random.key(0)).networks
    head = networks.world_model.decoder.vectors.heads["action_mask"]
    if biases is None:
        weight = jax.random.normal(jax.random.key(1), head.weight.shape)
        return eqx.tree_at(lambda n: n.world_model.decoder.vectors.heads["action_mask"].weight, networks, weight)
    logits = jnp.stack([jnp.zeros(CARDS), jnp.asarray(biases, jnp.float32)], -1).reshape(-1)
    fixed = eqx.tree_at(lambda head: (head.weight, head.bias), head, (jnp.zeros_like(head.weight), logits))
    return eqx.tree_at(lambda n: n.world_model.decoder.vectors.heads["action_mask"], networks, fixed)


@pytest.mark.parametrize("forms", [TEXTBOOK, cpu.FORMS, gpu.FORMS], ids=["textbook", "cpu", "gpu"])
@pytest.mark.parametrize(
    ("biases", "possible"), [([-1, 1, -1, 1], {1, 3}), ([-1] * 4, {0, 1, 2, 3}), (None, {0, 1, 2, 3})]
)
def test_imagination_takes_no_action_that_is_predicted_to_be_masked(forms: Any, biases: Any, possible: Any) -> None:
    networks, count = predicting(biases), 64
    deter = jnp.tanh(jax.random.normal(jax.random.key(4), (count, TINY.model.deter)))
    starts = Latent(deter, jax.nn.one_hot(jax.random.randint(jax.random.key(2), (count, 4), 0, 4), 4))

    @eqx.filter_jit
    @partial(eqx.filter_value_and_grad, has_aux=True)
    def looked(networks: Any) -> Any:
        action, outlook = forms.look_ahead(networks, networks.critic, starts, jax.random.key(3), 5)
        score = outlook.policy.log_prob(action).mean() + outlook.policy.entropies()["action"].mean()
        return score, (action["action"], outlook.policy.parts["action"].probs)

    (score, (action, probs)), gradient = looked(networks)
    assert set(np.unique(action)) == possible
    assert np.take_along_axis(np.asarray(probs), np.asarray(action)[..., None], -1).min() > 0
    expected = networks.world_model.allowed(starts)["action"]
    if biases is None:
        assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(probs[0] > 0, expected | ~expected.any(-1, keepdims=True))
    assert np.isfinite(score)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))
    assert not np.any(jax.tree.leaves(gradient.world_model.decoder)[0])


# What environments get wrong.


class Wrong(InfoCards):
    def __init__(self, how: str) -> None:
        self.how = how

    def shown(self) -> tuple[Any, dict[str, Any]]:
        observation, _ = super().shown()
        first = self.left.all()
        masks = {
            "short": {"action_mask": np.ones(CARDS - 1, np.int8)},
            "float": {"action_mask": np.ones(CARDS, np.float32)},
            "two": {"action_mask": np.int8([1, 1, 2, 1])},
            "stuck": {"action_mask": np.zeros(CARDS, np.int8)},
            "missing": {"action_mask": np.ones(CARDS, np.int8)} if first else {},
        }
        return observation, masks[self.how]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("short", r"environment 0: observation 'action_mask' has shape \(3,\), but its space has \(4,\)"),
        ("float", "environment 0: observation 'action_mask' is float32, but its space is int8"),
        ("two", "observation 'action_mask' .* is 2 at index .*, outside of its space"),
        ("stuck", "environment 0: observation 'action_mask' allows no action, which only the last observation"),
        ("missing", "the info lacks 'action_mask', which the info of the first reset had"),
    ],
)
def test_wrong_masks_are_errors_of_the_environment(how: str, sentence: str) -> None:
    with Environments(lambda: Wrong(how)) as envs, pytest.raises(BrokenEnvironmentError, match=sentence):
        [envs.reset(), envs.step({"action": np.zeros(1, int)})]


def test_a_vector_environment_must_allow_some_action() -> None:
    class Stuck(Cards):
        def shown(self) -> tuple[Any, dict[str, Any]]:
            observation, _ = super().shown()
            return observation | {"action_mask": np.zeros(CARDS, np.int8)}, {}

    with pytest.raises(BrokenEnvironmentError, match="'action_mask' allows no action"):
        evaluate(agent(), SyncVectorEnv([Stuck]), episodes=1, mode="vector")


def test_a_compiled_environment_that_allows_nothing_is_restarted() -> None:
    class Stuck(JaxCards):
        def step(self, key: Any, state: Any, action: Any) -> Transition:
            moved = super().step(key, state, action)
            stuck = jnp.where(moved.terminated, moved.observation["action_mask"], 0)
            return moved._replace(observation=moved.observation | {"action_mask": stuck})

    envs = CompiledEnvironments(Stuck(), 3)
    state, step = envs.reset(jax.random.key(0))
    _, step, _ = envs.step(jax.random.key(1), state, step, {"action": jnp.zeros(3, jnp.int32)})
    assert step.is_first.all()
    with pytest.raises(BrokenEnvironmentError, match="or a mask that allows no action"):
        Trainer(Stuck, TINY, quiet=True).run()


def test_an_action_is_repeated_while_it_is_allowed() -> None:
    with Environments(InfoCards, action_repeat=3) as envs:
        envs.reset()
        for card in range(CARDS):
            step = envs.step({"action": np.array([card])})
        assert step.is_last.all()


def test_what_cannot_get_a_mask_is_refused() -> None:
    with pytest.raises(InputError, match="MaskFromInfo needs a Discrete action space"):
        MaskFromInfo(gym.make("Pendulum-v1"))
    with pytest.raises(InputError, match="an observation without 'action_mask'"):
        MaskFromInfo(Cards())


@pytest.mark.slow
def test_it_learns_a_game_with_illegal_moves() -> None:
    """An illegal move would end the run. Knowing only the rules, a player gets 2.08 of 4 points."""
    config = replace(DEMO, env=replace(DEMO.env, restarts=0), run=replace(DEMO.run, log_every=15))
    trained = reverie.train(InfoCards, config, steps=20_000)
    result = reverie.evaluate(trained, InfoCards, episodes=100)
    print(result)
    assert result.mean >= 3.5
