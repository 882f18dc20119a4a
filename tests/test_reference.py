"""Conversion to the names of the reference implementation, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie import reference
from reverie.config import Config, ModelConfig, OptimizerConfig
from reverie.learner import Learner, LearnerState
from reverie.spaces import Continuous, Discrete, Image

OBSERVATIONS = {"image": Image((64, 64, 1)), "level": Discrete((2,), 3), "speed": Continuous(())}
ACTIONS = {"move": Discrete((), 3), "force": Continuous((2,))}
MODEL = ModelConfig(deter=8, hidden=4, classes=3, depth=2, units=4, groups=2, blocks=2)


def filled(warmup: int = 1000) -> LearnerState:
    """A state in which every array has different numbers."""
    learner = Learner(OBSERVATIONS, ACTIONS, Config(model=MODEL, optimizer=OptimizerConfig(warmup=warmup)))
    shapes, structure = jax.tree.flatten(jax.eval_shape(learner.init, jax.random.key(0)))
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.uniform(1, 2, leaf.shape), leaf.dtype) for leaf in shapes]
    counted = [array if array.dtype == jnp.float32 else jnp.asarray(7, array.dtype) for array in arrays]
    return jax.tree.unflatten(structure, counted)


def cleared(state: LearnerState) -> LearnerState:
    return jax.tree.map(jnp.zeros_like, state)


@pytest.fixture(scope="module")
def state() -> LearnerState:
    return filled()


def test_every_parameter_has_its_own_name(state):
    names = reference.names(state.networks)
    assert len(set(names)) == len(names) == len(jax.tree.leaves(state.networks))
    expected = {
        "enc/cnn3/kernel", "enc/mlp0norm/scale", "dyn/dyngru/kernel", "dec/vec/level/logits/bias",
        "dec/vec/speed/pred/bias", "dec/conv2/kernel", "pol/head/force/stddev/kernel", "pol/head/move/logits/bias",
        "val/head/logits/kernel",
    }  # fmt: skip
    assert expected <= set(names)


def test_decoder_stages_are_counted_from_the_image(state):
    arrays = reference.export(state.networks)
    assert [arrays[f"dec/conv{i}/kernel"].shape[2:] for i in (2, 1, 0)] == [(8, 8), (8, 6), (6, 4)]


@pytest.mark.parametrize("warmup", [0, 1000])
def test_a_state_and_its_optimizer_are_converted_completely(warmup):
    state = filled(warmup)
    arrays, optimizer = reference.export_state(state), reference.export_optimizer(state)
    loaded = reference.load_optimizer(reference.load_state(cleared(state), arrays), optimizer)
    for path, (ours, theirs) in zip(
        jax.tree_util.tree_flatten_with_path(state)[0],
        zip(jax.tree.leaves(loaded), jax.tree.leaves(state), strict=True),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs, err_msg=jax.tree_util.keystr(path[0]))


def test_without_an_optimizer_the_state_keeps_its_own(state):
    loaded = reference.load_state(cleared(state), reference.export_state(state))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(loaded.optimizer))
    assert np.all(loaded.networks.critic.out.bias == state.networks.critic.out.bias)


@pytest.mark.parametrize("missing", ["enc/cnn0/kernel", "slowval/mlp/linear0/kernel"])
def test_a_missing_array_is_named(state, missing):
    arrays = reference.export_state(state)
    del arrays[missing]
    with pytest.raises(ValueError, match=f"lack '{missing.removeprefix('slow')}', shape .* other spaces"):
        reference.load_state(state, arrays)


def test_an_array_of_another_shape_is_named_with_both(state):
    arrays = reference.export(state.networks) | {"rew/head/logits/bias": np.zeros(41, np.float32)}
    with pytest.raises(ValueError, match=r"'rew/head/logits/bias' has the shape \(41,\), expected \(255,\)"):
        reference.load(state.networks, arrays)
