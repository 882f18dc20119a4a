"""A policy as an ONNX model. Needs the extra 'onnx'. May import: `graph`."""

import logging
from collections.abc import Mapping

import jax
import numpy as np

from reverie.errors import InputError
from reverie.export.graph import Graph
from reverie.export.trial import Run

SUFFIX = ".onnx"


def convert(graph: Graph) -> bytes:
    """The model, whose batch size N is free."""
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError("ONNX needs packages that are not installed; run `pip install 'reverie[onnx]'`.") from error
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # warns about shapes of arrays inside the model
    inputs = [jax.ShapeDtypeStruct(("N", *port.shape), port.dtype) for port in graph.inputs]
    names = [[port.name for port in ports] for ports in (graph.inputs, graph.outputs)]
    model = to_onnx(graph.__call__, inputs, model_name="policy", input_names=names[0], output_names=names[1])
    return bytes(model.SerializeToString())


def runner(model: bytes) -> Run:
    """Computes the outputs with onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
