"""Open-loop prediction equals observing and then imagining, one step at a time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.dreams import OpenLoop, open_loop
from reverie.experience import Experience
from reverie.ops import symexp
from reverie.spaces import Continuous, Discrete
from reverie.world_model import Latent, WorldModel

compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})
B, T, DISCOUNT = 2, 6, 0.9
SIZES = {"deter": 8, "hidden": 4, "groups": 2, "classes": 3, "blocks": 2, "units": 4, "depth": 2, "unimix": 0.01}


@pytest.fixture(scope="module")
def model() -> WorldModel:
    observations, actions = {"a": Continuous((3,)), "b": Discrete((), 4)}, {"push": Continuous((2,))}
    return compiled(lambda key: WorldModel(observations, observations, actions, **SIZES, key=key))(jax.random.key(0))


@pytest.fixture(scope="module")
def batch() -> Experience:
    """Two sequences; in the second, an episode ends in the predicted half and another begins at record 5."""
    rng, flags = np.random.default_rng(0), np.zeros((B, T + 1), bool)
    first, last = flags.copy(), flags.copy()
    first[1, 5], last[1, 4] = True, True
    return Experience(
        observation={
            "a": rng.normal(size=(B, T + 1, 3)).astype(np.float32),
            "b": rng.integers(0, 4, (B, T + 1)).astype(np.int32),
        },
        action={"push": rng.uniform(-1, 1, (B, T + 1, 2)).astype(np.float32)},
        reward=rng.normal(size=(B, T + 1)).astype(np.float32),
        is_first=first,
        is_last=last,
        is_terminal=last,
        deter=rng.uniform(-1, 1, (B, T + 1, 8)).astype(jnp.bfloat16),
        stoch=rng.integers(0, 3, (B, T + 1, 2)).astype(np.uint8),
    )


@pytest.fixture(scope="module")
def dream(model, batch) -> OpenLoop:
    return jax.device_get(open_loop(model, batch, None, discount=DISCOUNT, dtype=jnp.float32))


def stepwise(model: WorldModel, batch: Experience) -> Latent:
    """The same latents from the model's public methods: it observes steps 0 to 2 and the start of an episode."""

    def record(row: int, t: int) -> dict[str, np.ndarray]:
        return {name: x[row : row + 1, t : t + 1] for name, x in batch.observation.items()}

    observe, imagine = compiled(lambda model, *x: model.observe(*x)), compiled(lambda model, *x: model.imagine(*x))
    rows = []
    for row in range(B):
        context = Latent(batch.deter[row : row + 1, 0].astype(np.float32), jax.nn.one_hot(batch.stoch[row, 0], 3)[None])
        latent, states = context, []
        for t in range(1, T + 1):
            action, first = {"push": batch.action["push"][row : row + 1, t - 1]}, batch.is_first[row : row + 1, t]
            if t <= T // 2 or first[0]:
                previous = {"push": action["push"][:, None]}
                seen = observe(model, latent, record(row, t), previous, first[:, None])
                latent = jax.tree.map(lambda x: x[:, 0], seen)
            else:
                latent = imagine(model, latent, action)
            states.append(latent)
        rows.append(jax.tree.map(lambda *x: jnp.stack(x, 1), *states))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *rows)


def test_it_looks_at_the_first_half_and_dreams_the_rest(model, batch, dream):
    states = stepwise(model, batch)
    decoded = compiled(lambda model, x: model.decode(x))(model, states)
    np.testing.assert_allclose(
        dream.observation["a"].prediction, symexp(decoded["a"].prediction()), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(dream.observation["b"].prediction, decoded["b"].prediction())
    np.testing.assert_allclose(dream.reward.prediction, model.reward(states).prediction(), atol=1e-4)
    expected = np.minimum(model.cont(states).prediction() / DISCOUNT, 1)
    np.testing.assert_allclose(dream.cont.prediction, expected, rtol=1e-4)


def test_what_is_dreamed_does_not_depend_on_what_is_not_seen(model, batch, dream):
    hidden = batch.observation["a"].copy()
    hidden[:, 4:] += 100  # the predicted half of both, including the start of the second episode
    changed = batch._replace(observation=batch.observation | {"a": hidden})
    other = jax.device_get(open_loop(model, changed, None, discount=DISCOUNT, dtype=jnp.float32))
    same = dream.observation["a"].prediction, other.observation["a"].prediction
    np.testing.assert_array_equal(same[0][0], same[1][0])
    np.testing.assert_array_equal(same[0][1, :4], same[1][1, :4])
    assert np.any(same[0][1, 4] != same[1][1, 4])  # the first record of an episode is observed


def test_truth_is_what_was_recorded_without_the_context(batch, dream):
    np.testing.assert_array_equal(dream.observation["a"].truth, batch.observation["a"][:, 1:])
    np.testing.assert_array_equal(dream.reward.truth, batch.reward[:, 1:])
    np.testing.assert_array_equal(dream.cont.truth, [[1] * 6, [1, 1, 1, 0, 1, 1]])
    np.testing.assert_array_equal(dream.horizon, [[0, 0, 0, 1, 2, 3], [0, 0, 0, 1, 0, 1]])


def test_errors_are_the_losses_by_horizon(model, batch, dream):
    decoded = model.decode(stepwise(model, batch))
    loss = np.asarray(decoded["a"].loss(jnp.asarray(batch.observation["a"][:, 1:])))
    expected = [loss[dream.horizon == horizon].mean() for horizon in range(4)]
    np.testing.assert_allclose(dream.error["a"], expected, rtol=1e-4)
    assert set(dream.error) == {"a", "b", "rew", "con"}


def test_a_key_draws_and_draws_the_same(model, batch, dream):
    drawn = [open_loop(model, batch, jax.random.key(k), discount=DISCOUNT, dtype=jnp.float32) for k in (1, 1, 2)]
    first, again, other = (x.observation["a"].prediction for x in drawn)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_a_horizon_that_no_sequence_has_is_not_a_number(model, batch):
    every = batch._replace(is_first=np.ones((B, T + 1), bool))
    seen = open_loop(model, every, None, discount=DISCOUNT, dtype=jnp.float32)
    assert np.isfinite(seen.error["a"][0])
    assert np.all(np.isnan(seen.error["a"][1:]))
