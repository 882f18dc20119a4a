"""A policy as a serialized StableHLO program, for CPUs, CUDA and TPUs. Needs the extra 'stablehlo'.

May import: `graph`, `trial`.
"""

from collections.abc import Mapping
from importlib.util import find_spec

import jax
import numpy as np
from jax import export

from reverie.errors import InputError
from reverie.export.graph import Graph, as_outputs
from reverie.export.trial import Run

SUFFIX = ".stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")


def convert(graph: Graph) -> bytes:
    """The program, whose batch size N is free. `jax.export.deserialize` reads it."""
    if find_spec("flatbuffers") is None:
        raise InputError("StableHLO needs a package that is not installed; run `pip install 'reverie[stablehlo]'`.")
    (count,) = export.symbolic_shape("n")
    inputs = [jax.ShapeDtypeStruct((count, *port.shape), port.dtype) for port in graph.inputs]
    return bytes(export.export(jax.jit(graph.__call__), platforms=PLATFORMS)(*inputs).serialize())


def runner(graph: Graph, program: bytes) -> Run:
    """Computes the outputs with the deserialized program."""
    loaded = export.deserialize(bytearray(program))

    def run(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return as_outputs(graph, loaded.call(*(inputs[port.name] for port in graph.inputs)))

    return run
