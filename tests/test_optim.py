"""AGC, LaProp and warm-up by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reverie.optim import adaptive_gradient_clipping, laprop

SETTINGS = {
    "clip": 0.3, "clip_floor": 1e-3, "decay_rms": 0.999, "decay_momentum": 0.9, "epsilon": 1e-20
}  # fmt: skip


def steps(optimizer: optax.GradientTransformation, gradients: list[float], parameter: float = 1e6) -> list[float]:
    """The steps on one large parameter, whose gradients are never clipped."""
    parameters, result = jnp.float32([parameter]), []
    state = optimizer.init(parameters)
    for gradient in gradients:
        step, state = optimizer.update(jnp.float32([gradient]), state, parameters)
        result.append(float(step[0]))
    return result


@pytest.mark.parametrize(
    ("gradient", "parameter", "clipped"),
    [
        ([3, 4], [6, 8], [1.8, 2.4]),  # norm 5, the limit is 0.3 · 10
        ([0.3, 0.4], [6, 8], [0.3, 0.4]),  # within the limit
        ([3, 4], [0, 0], [1.8e-4, 2.4e-4]),  # the floor: 0.3 · 1e-3
        ([0, 0], [0, 0], [0, 0]),
    ],
)
def test_clipping_holds_a_tensors_norm_below_a_share_of_the_parameters(gradient, parameter, clipped):
    clip = adaptive_gradient_clipping(0.3, 1e-3)
    result, _ = clip.update(jnp.float32(gradient), clip.init(None), jnp.float32(parameter))
    np.testing.assert_allclose(result, clipped, rtol=1e-6)


def test_clipping_is_per_tensor():
    clip = adaptive_gradient_clipping(0.3, 1e-3)
    parameters = {"large": jnp.full((4,), 5.0), "small": jnp.full((2, 2), 0.5)}
    result, _ = clip.update({"large": jnp.ones(4), "small": jnp.ones((2, 2))}, clip.init(None), parameters)
    np.testing.assert_allclose(result["large"], np.ones(4))
    np.testing.assert_allclose(result["small"], np.full((2, 2), 0.15), rtol=1e-6)


def test_clipping_without_parameters_is_an_error():
    clip = adaptive_gradient_clipping(0.3, 1e-3)
    with pytest.raises(ValueError, match="pass `params`"):
        clip.update(jnp.ones(1), clip.init(None))


def test_laprop_by_hand():
    """Momentum of the normalised gradient, where Adam would normalise the momentum."""
    u_1 = 1.0
    rms = np.sqrt((0.999 * 0.001 * 2**2 + 0.001 * 1**2) / (1 - 0.999**2))
    u_2 = -1 / rms
    m_2 = (0.9 * 0.1 * u_1 + 0.1 * u_2) / (1 - 0.9**2)
    ours = steps(laprop(0.1, warmup=0, **SETTINGS), [2.0, -1.0])
    np.testing.assert_allclose(ours, [-0.1 * u_1, -0.1 * m_2], rtol=1e-5)


def test_step_does_not_depend_on_the_gradients_size():
    optimizer = laprop(0.1, warmup=0, **SETTINGS)
    np.testing.assert_allclose(steps(optimizer, [1e-8, 3e-8]), steps(optimizer, [1.0, 3.0]), rtol=1e-5)


def test_learning_rate_rises_linearly_from_zero():
    ours = steps(laprop(0.1, warmup=4, **SETTINGS), [1.0] * 7)
    np.testing.assert_allclose(ours, [0, -0.025, -0.05, -0.075, -0.1, -0.1, -0.1], rtol=1e-5, atol=1e-9)
