"""How processes share a GPU, and which precision it computes in. May import: `errors`."""

import os
from typing import Any, Literal

from reverie.errors import InputError

# Each of these decides how much of a GPU's memory a process takes.
MEMORY_VARIABLES = (
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
)

# NVIDIA's first GPUs with bfloat16 and TF32 (Ampere). On older ones XLA converts bfloat16 to float32 and back.
BFLOAT16_SINCE = 8.0


def share_memory() -> None:
    """Make JAX allocate a GPU's memory when it is needed, so that several processes can use the GPU.

    By default, the first process takes three quarters of the memory, and a second one fails. Has no effect if one of
    `MEMORY_VARIABLES` is set, or once JAX has looked for devices, which is when it reads them.
    """
    if not any(os.environ.get(name) for name in MEMORY_VARIABLES):
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def preallocates() -> bool:
    """Whether this process takes its share of a GPU's memory at once, by the rules of JAX."""
    allocator = os.environ.get("XLA_PYTHON_CLIENT_ALLOCATOR") or "default"
    return allocator != "platform" and os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE") not in ("false", "False", "0")


def capability(device: Any) -> float | None:
    """Return the CUDA compute capability of a JAX device; None if it is not an NVIDIA GPU."""
    try:
        return float(device.compute_capability)
    except (AttributeError, ValueError):  # other platforms have none; AMD's are names such as 'gfx942'
        return None


def best_dtype(device: Any) -> Literal["float32", "bfloat16"]:
    """Return the fastest dtype of matrix products: bfloat16 on accelerators that have it, else float32."""
    return "float32" if device.platform == "cpu" or _lacks_bfloat16(device) else "bfloat16"


def check_dtype(dtype: str, device: Any) -> None:
    """Check that a device computes in a dtype.

    Raises:
        InputError: bfloat16 on an NVIDIA GPU that lacks it, which would be slower than float32.
    """
    if dtype == "bfloat16" and _lacks_bfloat16(device):
        raise InputError(
            f"The {_described(device)} has no bfloat16; GPUs have it from compute capability {BFLOAT16_SINCE} on. "
            "Set model.compute_dtype to 'auto' or 'float32'."
        )


def caution(dtype: str, device: Any) -> str | None:
    """Return a warning if `auto` computes in float32 because the GPU lacks bfloat16; None otherwise."""
    if dtype == "auto" and _lacks_bfloat16(device):
        return f"the {_described(device)} has no bfloat16, so the networks compute in float32."
    return None


def precision(dtype: str, device: Any) -> str:
    """Describe the precision of matrix products, as configured in JAX: "float32 with products in TF32"."""
    import jax

    if dtype != "float32" or jax.config.values["jax_default_matmul_precision"] not in (None, "default"):
        return dtype
    if device.platform == "tpu":
        return "float32 with products in bfloat16"
    number = capability(device)
    return dtype if number is None or number < BFLOAT16_SINCE else "float32 with products in TF32"


def _lacks_bfloat16(device: Any) -> bool:
    number = capability(device)
    return number is not None and number < BFLOAT16_SINCE


def _described(device: Any) -> str:
    return f"GPU ({device.device_kind}, compute capability {capability(device)})"
