"""The loss trace of some updates as one checksum: equal before and after a change that should not alter numbers.

    python -m benchmarks.trace --input vector pixels

The batch, the parameters and the keys come from fixed seeds. Compare the printed checksums of two commits on the same
machine with the same versions of JAX and XLA.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from benchmarks.common import Dtype, Input, Size, compiled_update, report, workload


@dataclass(frozen=True)
class Settings:
    """Compute updates and print the SHA-256 of their losses and of the final parameters."""

    size: Size = "size1m"
    input: tuple[Input, ...] = ("vector", "pixels")
    dtype: Dtype = "auto"
    updates: int = 50
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    rows = [trace(settings, inputs) for inputs in settings.input]
    report("trace", settings, rows, settings.output)


def trace(settings: Settings, inputs: Input) -> dict[str, Any]:
    """Checksums and the last loss of one kind of input."""
    learner, batch = workload(settings.size, inputs, settings.dtype)
    update = compiled_update(learner)
    state = learner.fresh(jax.random.key(0))
    losses = []
    for key in jax.random.split(jax.random.key(1), settings.updates):
        state, output = update(state, batch, key)
        losses.append(output.metrics["opt/loss"])
    return {
        "input": inputs,
        "updates": settings.updates,
        "last loss": float(losses[-1]),
        "losses": checksum(losses),
        "parameters": checksum(state.networks),
    }


def checksum(tree: Any) -> str:
    """The first 16 hex digits of the SHA-256 of all arrays, byte for byte."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(tree)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
