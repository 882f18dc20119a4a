"""Converts parameters and optimizer states to and from the reference implementation, by its names.

Only the names differ; the shapes are the same. May import: `learner` and below.
"""

import re
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from reverie.errors import InputError
from reverie.learner import LearnerState, Networks
from reverie.ops import ReturnScale
from reverie.spaces import Discrete

# A regular expression for the path of our module → the reference's name. The first match wins.
MODULES = [
    (r"world_model\.encoder\.vectors\.layers\[(\d)\]\.linear", r"enc/mlp\1"),
    (r"world_model\.encoder\.vectors\.layers\[(\d)\]\.norm", r"enc/mlp\1norm"),
    (r"world_model\.encoder\.images\.convs\[(\d)\]", r"enc/cnn\1"),
    (r"world_model\.encoder\.images\.norms\[(\d)\]", r"enc/cnn\1norm"),
    (r"world_model\.rssm\.deter_in\.linear", r"dyn/dynin0"),
    (r"world_model\.rssm\.deter_in\.norm", r"dyn/dynin0norm"),
    (r"world_model\.rssm\.stoch_in\.linear", r"dyn/dynin1"),
    (r"world_model\.rssm\.stoch_in\.norm", r"dyn/dynin1norm"),
    (r"world_model\.rssm\.action_in\.linear", r"dyn/dynin2"),
    (r"world_model\.rssm\.action_in\.norm", r"dyn/dynin2norm"),
    (r"world_model\.rssm\.hidden", r"dyn/dynhid0"),
    (r"world_model\.rssm\.hidden_norm", r"dyn/dynhid0norm"),
    (r"world_model\.rssm\.gates", r"dyn/dyngru"),
    (r"world_model\.rssm\.prior_trunk\.layers\[(\d)\]\.linear", r"dyn/prior\1"),
    (r"world_model\.rssm\.prior_trunk\.layers\[(\d)\]\.norm", r"dyn/prior\1norm"),
    (r"world_model\.rssm\.prior_out", r"dyn/priorlogit"),
    (r"world_model\.rssm\.posterior_trunk\.linear", r"dyn/obs0"),
    (r"world_model\.rssm\.posterior_trunk\.norm", r"dyn/obs0norm"),
    (r"world_model\.rssm\.posterior_out", r"dyn/obslogit"),
    (r"world_model\.decoder\.vectors\.trunk\.layers\[(\d)\]\.(linear|norm)", r"dec/mlp/\2\1"),
    (r"world_model\.decoder\.vectors\.heads\['(.+)'\]", r"dec/vec/\1/pred"),
    (r"world_model\.decoder\.images\.from_deter", r"dec/sp0"),
    (r"world_model\.decoder\.images\.stoch_trunk\.linear", r"dec/sp1"),
    (r"world_model\.decoder\.images\.stoch_trunk\.norm", r"dec/sp1norm"),
    (r"world_model\.decoder\.images\.from_stoch", r"dec/sp2"),
    (r"world_model\.decoder\.images\.norm", r"dec/spnorm"),
    (r"world_model\.decoder\.images\.convs\[(\d)\]", r"dec/conv\1"),
    (r"world_model\.decoder\.images\.norms\[(\d)\]", r"dec/conv\1norm"),
    (r"world_model\.decoder\.images\.output", r"dec/imgout"),
    (r"world_model\.reward_head\.trunk\.layers\[(\d)\]\.(linear|norm)", r"rew/mlp/\2\1"),
    (r"world_model\.reward_head\.out", r"rew/head/logits"),
    (r"world_model\.continue_head\.trunk\.layers\[(\d)\]\.(linear|norm)", r"con/mlp/\2\1"),
    (r"world_model\.continue_head\.out", r"con/head/logit"),
    (r"actor\.trunk\.layers\[(\d)\]\.(linear|norm)", r"pol/mlp/\2\1"),
    (r"actor\.heads\['(.+)'\]\['std'\]", r"pol/head/\1/stddev"),
    (r"actor\.heads\['(.+)'\]\['(.+)'\]", r"pol/head/\1/\2"),
    (r"critic\.trunk\.layers\[(\d)\]\.(linear|norm)", r"val/mlp/\2\1"),
    (r"critic\.out", r"val/head/logits"),
]
PARAMETERS = {"weight": "kernel", "bias": "bias", "scale": "scale"}
DECODER_STAGES = 3  # the reference counts the decoder's convolutions backwards, from the image


def names(networks: Networks) -> list[str]:
    """The reference's names of all leaves, in the order of `jax.tree.leaves(networks)`."""
    discrete = {name for name, feature in networks.world_model.decoder.features if isinstance(feature, Discrete)}
    paths, _ = jax.tree_util.tree_flatten_with_path(networks)
    return [_name(jax.tree_util.keystr(path).removeprefix("."), discrete) for path, _ in paths]


def _name(path: str, discrete: set[str]) -> str:
    module, parameter = path.rsplit(".", 1)
    for pattern, replacement in MODULES:
        if match := re.fullmatch(pattern, module):
            name = match.expand(replacement)
            if name.startswith("dec/conv"):
                name = re.sub(r"\d", lambda digit: str(DECODER_STAGES - 1 - int(digit[0])), name)
            if name.startswith("dec/vec/") and match[1] in discrete:
                name = name.removesuffix("pred") + "logits"
            return f"{name}/{PARAMETERS[parameter]}"
    raise InputError(f"The reference implementation has no parameter that corresponds to {path}.")


def export(networks: Networks) -> dict[str, np.ndarray]:
    """The arrays of networks, or of their gradients or moments, by the reference's names."""
    return {name: np.asarray(leaf) for name, leaf in zip(names(networks), jax.tree.leaves(networks), strict=True)}


def load(networks: Networks, arrays: Mapping[str, np.ndarray]) -> Networks:
    """Replace the leaves of networks with the arrays of their names.

    Raises:
        InputError: an array is missing or has another shape.
    """
    leaves, structure = jax.tree.flatten(networks)
    loaded = []
    for name, leaf in zip(names(networks), leaves, strict=True):
        if name not in arrays:
            raise InputError(f"The arrays lack '{name}', shape {leaf.shape}; they may belong to other spaces.")
        if arrays[name].shape != leaf.shape:
            raise InputError(
                f"'{name}' has the shape {arrays[name].shape}, expected {leaf.shape}; "
                "the model size or the spaces differ."
            )
        loaded.append(jnp.asarray(arrays[name], leaf.dtype))
    return jax.tree.unflatten(structure, loaded)


def export_state(state: LearnerState) -> dict[str, np.ndarray]:
    """The parameters, slow critic and return scale, by the reference's names."""
    slow = eqx.tree_at(lambda networks: networks.critic, state.networks, state.slow_critic)
    return {
        **export(state.networks),
        **{f"slow{name}": array for name, array in export(slow).items() if name.startswith("val/")},
        "slowval_count/value": np.asarray(state.updates),
        "retnorm/lo/value": np.asarray(state.return_scale.low),
        "retnorm/hi/value": np.asarray(state.return_scale.high),
    }


def load_state(state: LearnerState, arrays: Mapping[str, np.ndarray]) -> LearnerState:
    """Replace the parameters, slow critic and return scale of a state; the optimizer's state stays."""
    slow = {name: array for name, array in arrays.items() if not name.startswith("val/")}
    slow |= {name.removeprefix("slow"): array for name, array in arrays.items() if name.startswith("slowval/")}
    low, high = (jnp.asarray(arrays[f"retnorm/{end}/value"]) for end in ("lo", "hi"))
    return state._replace(
        networks=load(state.networks, arrays),
        slow_critic=load(state.networks, slow).critic,
        return_scale=ReturnScale(low, high),
    )


def export_optimizer(state: LearnerState) -> dict[str, np.ndarray]:
    """The step counts, second moments and momentum of the optimizer, by the reference's names."""
    _, (rms, momentum, _) = state.optimizer
    unravel = ravel_pytree(state.networks)[1]
    return {
        "step/value": np.asarray(state.updates),
        "state/1/0": np.asarray(rms.count),
        **{f"state/1/1/{name}": array for name, array in export(unravel(rms.nu)).items()},
        "state/2/0": np.asarray(momentum.count),
        **{f"state/2/1/{name}": array for name, array in export(unravel(momentum.ema)).items()},
        "state/3/count": np.asarray(state.updates),
    }


def load_optimizer(state: LearnerState, arrays: Mapping[str, np.ndarray]) -> LearnerState:
    """Replace the step counts, second moments and momentum of a state, so that training continues where it stopped."""
    clip, (rms, momentum, schedule) = state.optimizer

    def vector(prefix: str) -> jax.Array:
        below = {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
        return ravel_pytree(load(state.networks, below))[0]

    def count(name: str) -> jax.Array:
        return jnp.asarray(arrays[name], jnp.int32)

    rms = rms._replace(count=count("state/1/0"), nu=vector("state/1/1/"))
    momentum = momentum._replace(count=count("state/2/0"), ema=vector("state/2/1/"))
    if "count" in schedule._fields:  # a constant learning rate has no step count
        schedule = schedule._replace(count=count("state/3/count"))
    return state._replace(optimizer=(clip, (rms, momentum, schedule)), updates=count("step/value"))
