"""Copies the parameters that fit from trained networks to others, whose spaces or sizes may differ."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from reverie.errors import InputError
from reverie.learner import Networks
from reverie.storage import leaves_by_name

Piece = Literal["world_model", "actor", "critic"]


class Transfer(NamedTuple):
    """The result of `transfer`."""

    networks: Networks
    taken: tuple[str, ...]  # paths of the parameters that were copied
    left: dict[str, str]  # path → why this parameter of the target was left as it is


def transfer(source: Networks, target: Networks, only: Piece | None = None) -> Transfer:
    """Replace every parameter of `target` for which `source` has one of the same path and shape.

    The environments may differ in some of their observations and actions: what depends on those is left as it is in the
    target. Neither argument is changed.

    Args:
        source: trained networks.
        target: the networks to start from otherwise.
        only: copy only the world model, only the actor, or only the critic.

    Raises:
        InputError: no parameter fits.
    """
    given, leaves = leaves_by_name(source), leaves_by_name(target)
    chosen, left = dict(leaves), dict[str, str]()
    for path, leaf in leaves.items():
        if only is not None and not path.startswith(f".{only}."):
            continue
        if path not in given:
            left[path] = "the source has no such parameter"
        elif given[path].shape != leaf.shape:
            left[path] = f"its shape is {leaf.shape}, the source's is {given[path].shape}"
        else:
            chosen[path] = jnp.array(given[path], leaf.dtype)  # a copy: training donates its buffers
    taken = tuple(path for path in leaves if chosen[path] is not leaves[path])
    if not taken:
        raise InputError(
            f"No parameter of the {'networks' if only is None else only} fits: the model size or the spaces differ "
            f"({next(iter(left))}: {next(iter(left.values()))})."
        )
    networks = jax.tree.unflatten(jax.tree.structure(target), [chosen[path] for path in leaves])
    return Transfer(networks, taken, left)
