"""Distributions against SciPy and numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from reverie.distributions import (
    BINS,
    Bernoulli,
    BoundedNormal,
    Categorical,
    Classes,
    ImageMean,
    MaskedCategorical,
    SymlogVector,
    TwoHot,
)

LOGITS = jnp.float32([2.0, -1.0, 0.5, 0.0])
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum()


def test_categorical_mixes_a_share_of_uniform():
    np.testing.assert_allclose(Categorical(LOGITS).probs, SOFTMAX, rtol=1e-6)
    np.testing.assert_allclose(Categorical(LOGITS, 0.01).probs, 0.99 * SOFTMAX + 0.01 / 4, rtol=1e-6)


def test_unimix_keeps_every_class_possible():
    probs = Categorical(jnp.float32([100.0, -100.0]), 0.01).probs
    np.testing.assert_allclose(probs, [0.995, 0.005], rtol=1e-5)


def test_categorical_log_prob_entropy_and_divergence():
    ours, other = Categorical(LOGITS, 0.01), Categorical(LOGITS[::-1], 0.01)
    p, q = np.asarray(ours.probs), np.asarray(other.probs)
    np.testing.assert_allclose(ours.log_prob(jnp.asarray(2)), np.log(p[2]), rtol=1e-6)
    np.testing.assert_allclose(ours.entropy(), scipy.stats.entropy(p), rtol=1e-6)
    np.testing.assert_allclose(ours.divergence(other), scipy.stats.entropy(p, q), rtol=1e-5)
    np.testing.assert_allclose(ours.divergence(ours), 0, atol=1e-7)


@pytest.mark.parametrize("unimix", [0.0, 0.01, 0.5])
def test_categorical_samples_have_the_probabilities(unimix):
    count = 20_000
    ours = Categorical(jnp.broadcast_to(LOGITS, (count, 4)), unimix)
    observed = np.bincount(np.asarray(ours.sample(jax.random.key(0))), minlength=4)
    expected = count * np.asarray(ours.probs[0], np.float64)
    assert scipy.stats.chisquare(observed, expected * count / expected.sum()).pvalue > 0.01


def test_impossible_classes_are_never_sampled():
    logits = jnp.broadcast_to(jnp.float32([-jnp.inf, 0.0, 0.0, -jnp.inf]), (10_000, 4))
    assert set(np.unique(Categorical(logits).sample(jax.random.key(0)))) == {1, 2}


ALLOWED = jnp.array([True, False, True, False])
PAIR = np.exp([2.0, 0.5]) / np.exp([2.0, 0.5]).sum()


def test_a_masked_categorical_is_one_over_the_allowed_classes():
    ours = MaskedCategorical(LOGITS, allowed=ALLOWED)
    np.testing.assert_allclose(ours.probs, [PAIR[0], 0, PAIR[1], 0], rtol=1e-6)
    np.testing.assert_allclose(ours.entropy(), scipy.stats.entropy(PAIR), rtol=1e-6)
    np.testing.assert_allclose(ours.log_prob(jnp.asarray(2)), np.log(PAIR[1]), rtol=1e-6)
    assert ours.log_prob(jnp.asarray(1)) < -1e8


def test_unimix_of_a_masked_categorical_is_shared_by_the_allowed_classes():
    ours = MaskedCategorical(LOGITS, 0.1, allowed=ALLOWED)
    mixed = 0.9 * PAIR + 0.1 / 2
    np.testing.assert_allclose(ours.probs, [mixed[0], 0, mixed[1], 0], rtol=1e-6)
    np.testing.assert_allclose(ours.entropy(), scipy.stats.entropy(mixed), rtol=1e-6)
    np.testing.assert_allclose(ours.log_prob(jnp.asarray(0)), np.log(mixed[0]), rtol=1e-6)


def test_gradients_of_a_masked_categorical_are_those_of_the_allowed_classes_alone():
    entropy = jax.grad(lambda x: MaskedCategorical(x, allowed=ALLOWED).entropy())
    score = jax.grad(lambda x: MaskedCategorical(x, allowed=ALLOWED).log_prob(jnp.asarray(0)))
    by_hand = -PAIR * (np.log(PAIR) + scipy.stats.entropy(PAIR))
    for forbidden in (0.0, 1e30, -1e30):  # whatever the other logits are
        logits = jnp.where(ALLOWED, LOGITS, forbidden)
        np.testing.assert_allclose(entropy(logits), [by_hand[0], 0, by_hand[1], 0], atol=1e-6)
        np.testing.assert_allclose(score(logits), [1 - PAIR[0], 0, -PAIR[1], 0], atol=1e-6)
    mixed = jax.grad(lambda x: MaskedCategorical(x, 0.01, allowed=ALLOWED).log_prob(jnp.asarray(0)))(LOGITS)
    assert np.all(np.isfinite(mixed))
    assert mixed[1] == mixed[3] == 0


def test_a_single_allowed_class_is_certain():
    ours = MaskedCategorical(LOGITS, 0.01, allowed=jnp.arange(4) == 1)
    np.testing.assert_array_equal(ours.probs, [0, 1, 0, 0])
    assert ours.entropy() == 0
    assert ours.mode() == ours.sample(jax.random.key(0)) == 1


def test_a_masked_class_is_never_drawn_however_sums_are_rounded():
    classes, count = 300, 20_000
    allowed = jax.random.bernoulli(jax.random.key(0), 0.5, (classes,)).at[:2].set(False).at[-2:].set(False)
    logits = 3 * jax.random.normal(jax.random.key(1), (count, classes))
    ours = MaskedCategorical(logits, 0.01, allowed=jnp.broadcast_to(allowed, logits.shape))
    # The uniform numbers that are most likely to hit an edge: both ends, and the cumulative probabilities themselves.
    edges = jnp.take_along_axis(jnp.cumsum(ours.probs, -1), jnp.arange(count)[:, None] % classes, -1)[:, 0]
    for uniform in (jnp.zeros(count), jnp.full(count, 1 - 2**-24), jnp.ones(count), jnp.minimum(edges, 1)):
        assert np.all(allowed[ours.pick(uniform)])
    assert np.all(allowed[ours.sample(jax.random.key(2))])
    assert np.all(allowed[ours.mode()])
    broken = MaskedCategorical(jnp.full((1, 3), jnp.nan), allowed=jnp.array([[False, True, False]]))
    assert broken.sample(jax.random.key(3)) == broken.sample(None) == 1  # even with networks that have diverged


def test_masked_samples_have_the_probabilities():
    count = 20_000
    logits, allowed = (jnp.broadcast_to(x, (count, 4)) for x in (LOGITS, ALLOWED))
    ours = MaskedCategorical(logits, 0.1, allowed=allowed)
    observed = np.bincount(np.asarray(ours.sample(jax.random.key(0))), minlength=4)[[0, 2]]
    expected = count * (0.9 * PAIR + 0.05)
    assert scipy.stats.chisquare(observed, expected * count / expected.sum()).pvalue > 0.01


def test_without_a_key_the_sample_is_the_mode():
    assert Categorical(LOGITS).sample(None) == 0
    normal = BoundedNormal(jnp.float32([0.3, -2.0]), jnp.zeros(2))
    np.testing.assert_allclose(normal.sample(None), np.tanh([0.3, -2.0]), rtol=1e-6)


def test_straight_through_is_the_sample_with_the_probabilities_gradient():
    direction = jnp.float32([1.0, -2.0, 3.0, 0.5])
    sample = jnp.asarray(2)
    np.testing.assert_allclose(Categorical(LOGITS, 0.01).straight_through(sample), [0, 0, 1, 0], atol=1e-7)
    ours = jax.grad(lambda logits: direction @ Categorical(logits, 0.01).straight_through(sample))(LOGITS)
    expected = 0.99 * SOFTMAX * (direction - SOFTMAX @ direction)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_bounded_normal_agrees_with_scipy():
    raw_mean, raw_std = jnp.float32([-3.0, 0.0, 0.5]), jnp.float32([-10.0, 0.0, 4.0])
    value = jnp.float32([-0.7, 0.2, 1.4])
    std = 0.9 / (1 + np.exp(-(raw_std + 2))) + 0.1
    ours, scipys = BoundedNormal(raw_mean, raw_std), scipy.stats.norm(np.tanh(raw_mean), std)
    np.testing.assert_allclose(ours.log_prob(value), scipys.logpdf(value), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), scipys.entropy(), rtol=1e-5)


def test_bounded_normals_std_stays_between_a_tenth_and_one():
    ours = BoundedNormal(jnp.zeros(2), jnp.float32([-100.0, 100.0]))
    np.testing.assert_allclose(ours.std, [0.1, 1.0], rtol=1e-6)


def test_bounded_normal_samples_have_its_mean_and_std():
    ours = BoundedNormal(jnp.full(20_000, 0.5), jnp.full(20_000, -2.0))
    samples = np.asarray(ours.sample(jax.random.key(0)))
    assert scipy.stats.kstest(samples, scipy.stats.norm(np.tanh(0.5), 0.55).cdf).pvalue > 0.01


def test_two_hot_of_uniform_logits_is_exactly_zero():
    assert TwoHot(jnp.zeros(255)).prediction() == 0
    assert TwoHot(jnp.full(255, 0.7)).prediction() == 0


def test_two_hot_loss_is_the_cross_entropy_with_both_neighbours():
    logits = jax.random.normal(jax.random.key(0), (255,))
    target = float(0.25 * BINS[130] + 0.75 * BINS[131])
    log_probs = jax.nn.log_softmax(logits)
    expected = -0.25 * log_probs[130] - 0.75 * log_probs[131]
    np.testing.assert_allclose(TwoHot(logits).loss(jnp.float32(target)), expected, rtol=1e-5)


@pytest.mark.parametrize(("target", "bin"), [(1e9, 254), (-1e9, 0)])
def test_two_hot_targets_beyond_the_ends_go_to_the_end_bin(target, bin):
    logits = jax.random.normal(jax.random.key(0), (255,))
    np.testing.assert_allclose(TwoHot(logits).loss(jnp.float32(target)), -jax.nn.log_softmax(logits)[bin], rtol=1e-5)


def test_two_hot_gradient_is_softmax_minus_weights_and_the_target_gets_none():
    logits = jax.random.normal(jax.random.key(0), (255,))
    gradient, of_target = jax.grad(lambda logits, target: TwoHot(logits).loss(target), (0, 1))(
        logits, jnp.float32(BINS[140])
    )
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - np.eye(255)[140], atol=1e-6)
    assert of_target == 0


def test_bernoulli_loss_takes_soft_targets():
    logit, target = jnp.float32(1.5), jnp.float32(0.3)
    p = 1 / (1 + np.exp(-1.5))
    np.testing.assert_allclose(Bernoulli(logit).prediction(), p, rtol=1e-6)
    np.testing.assert_allclose(Bernoulli(logit).loss(target), -(0.3 * np.log(p) + 0.7 * np.log(1 - p)), rtol=1e-6)


def test_losses_are_summed_over_an_events_axes():
    vector = SymlogVector(jnp.zeros((2, 3)), events=1).loss(jnp.full((2, 3), np.float32(np.e - 1)))
    image = ImageMean(jnp.zeros((2, 4, 4, 3))).loss(jnp.full((2, 4, 4, 3), 255, jnp.uint8))
    classes = Classes(jnp.zeros((2, 3, 4)), events=1).loss(jnp.zeros((2, 3), jnp.int32))
    np.testing.assert_allclose(vector, [3, 3], rtol=1e-6)
    np.testing.assert_allclose(image, [48, 48])
    np.testing.assert_allclose(classes, [3 * np.log(4)] * 2, rtol=1e-6)
