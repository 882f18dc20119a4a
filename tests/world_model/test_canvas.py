"""Images of any size on a canvas: every pixel is seen, every pixel is painted, and each counts once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.spaces import Image
from reverie.world_model.canvas import canvas_size, place, take
from reverie.world_model.decoder import Decoder
from reverie.world_model.encoder import Encoder
from reverie.world_model.inputs import encode_images


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(64, 64, 3)], (64, 64)),
        ([(48, 256, 1)], (48, 256)),
        ([(8, 8, 3)], (48, 48)),
        ([(84, 84, 1)], (96, 96)),
        ([(63, 63, 3)], (64, 64)),
        ([(20, 130, 3)], (64, 144)),  # three times 20, filled up
        ([(64, 64, 3), (8, 100, 1)], (64, 112)),
    ],
)
def test_the_smallest_canvas_that_halves_four_times(shapes, size):
    assert canvas_size(shapes) == size


@pytest.mark.parametrize("shape", [(272, 272, 3), (257, 300, 1)])
def test_larger_images_are_refused_with_advice(shape):
    with pytest.raises(ValueError, match="Resize them with gymnasium.wrappers.ResizeObservation"):
        jax.eval_shape(lambda key: Encoder({"image": Image(shape)}, units=4, depth=2, key=key), jax.random.key(0))


def test_images_that_fit_are_left_alone():
    image = jnp.zeros((2, 64, 48, 3))
    assert place(image, canvas_size([(64, 48, 3)])) is image
    assert take(image, (64, 48)) is image


sides = st.integers(8, 100)


@settings(deadline=None, max_examples=25)
@given(shapes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_what_is_placed_can_be_taken_again(shapes, seed):
    canvas = canvas_size([(*shape, 2) for shape in shapes])
    assert not any(side % 16 for side in canvas)
    assert min(canvas) >= 48
    assert max(canvas) < max(max(shape) for shape in shapes) + 48 + 16
    for shape in shapes:
        image = jnp.asarray(np.random.default_rng(seed).integers(0, 256, (3, *shape, 2)), jnp.float32)
        placed = place(image, canvas)
        assert placed.shape == (3, *canvas, 2)
        np.testing.assert_allclose(take(placed, shape), image, rtol=1e-6)


def test_a_small_image_is_enlarged_and_filled_up():
    image = jnp.arange(1.0, 5.0).reshape(2, 2, 1)
    placed = place(image, (5, 4))[..., 0]
    np.testing.assert_array_equal(placed, [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4], [0, 0, 0, 0]])


def test_images_of_several_sizes_share_a_canvas():
    features = {"small": Image((20, 24, 1)), "large": Image((84, 84, 3))}
    observation = {name: jnp.full((2, *f.shape), 255, jnp.uint8) for name, f in features.items()}
    encoded = encode_images(observation, features)
    assert encoded.shape == (2, 96, 96, 4)
    np.testing.assert_array_equal(encoded[0, 0, 0], 0.5)
    np.testing.assert_array_equal(encoded[0, 79, 95], [0, 0, 0, 0.5])  # beyond 84, within 4 × 20 and 4 × 24
    np.testing.assert_array_equal(encoded[0, 80, 83], [0.5, 0.5, 0.5, 0])
    np.testing.assert_array_equal(encoded[0, 90, 90], 0)


def test_the_decoder_paints_images_in_their_own_sizes_and_counts_every_pixel_once():
    features = {"small": Image((9, 30, 1)), "large": Image((84, 60, 3))}
    decoder = Decoder(features, deter=8, stoch=6, blocks=2, units=4, depth=2, key=jax.random.key(0))
    decoded = decoder(jnp.ones((2, 3, 8)), jnp.ones((2, 3, 6)))
    for name, feature in features.items():
        assert decoded[name].prediction().shape == (2, 3, *feature.shape)
        black = jnp.zeros((2, 3, *feature.shape), jnp.uint8)
        expected = np.sum(np.square(decoded[name].prediction()), (-3, -2, -1))
        np.testing.assert_allclose(decoded[name].loss(black), expected, rtol=1e-5)


@pytest.mark.parametrize("row", [0, 40, 82])
def test_every_pixel_reaches_the_embedding(row):
    encoder = Encoder({"image": Image((83, 9, 1))}, units=4, depth=2, key=jax.random.key(0))
    black = jnp.zeros((1, 83, 9, 1), jnp.uint8)
    for column in (0, 8):
        dotted = black.at[0, row, column, 0].set(255)
        assert np.any(encoder({"image": black}) != encoder({"image": dotted}))
