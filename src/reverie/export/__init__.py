"""Trained policies for programs without Reverie or JAX.

May import: `agent` and below, `envs`. The converters are extras, imported on demand.

    graph      one step of the policy, as a function of named arrays
    onnx       to ONNX
    stablehlo  to StableHLO, for programs that run XLA
    trial      plays episodes with the policy and with what was exported, and compares
    writing    the two files of an export
"""

from reverie.export.graph import Graph, Port
from reverie.export.trial import MismatchError, Trial
from reverie.export.writing import export_policy

__all__ = ["Graph", "MismatchError", "Port", "Trial", "export_policy"]
