"""Sharing a GPU and choosing its precision. No test needs a GPU: JAX's own code reads the variables, and devices are
described by what JAX says about them."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import pytest
from jaxlib.xla_client import generate_pjrt_gpu_plugin_options

from reverie import devices
from reverie.config import Config, ModelConfig
from reverie.errors import InputError
from reverie.learner import compute_dtype
from reverie.training import Trainer
from reverie.training.description import cautions

CPU = SimpleNamespace(platform="cpu", device_kind="cpu")
TPU = SimpleNamespace(platform="tpu", device_kind="TPU v5e")


def gpu(capability: str) -> SimpleNamespace:
    return SimpleNamespace(platform="gpu", device_kind="a card", compute_capability=capability)


V100, T4, A100, H100, RTX5090 = map(gpu, ("7.0", "7.5", "8.0", "9.0", "12.0"))
MI300 = gpu("gfx942")
HAVE_BFLOAT16, LACK_IT = (A100, H100, RTX5090, MI300, TPU), (CPU, V100, T4)


@pytest.fixture
def unset(monkeypatch):
    for name in devices.MEMORY_VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("unset")
def test_jax_is_told_to_allocate_on_demand():
    assert "preallocate" not in generate_pjrt_gpu_plugin_options()
    assert devices.preallocates()
    devices.share_memory()
    assert generate_pjrt_gpu_plugin_options()["preallocate"] is False
    assert not devices.preallocates()


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("XLA_PYTHON_CLIENT_PREALLOCATE", "true"),
        ("XLA_CLIENT_MEM_FRACTION", ".4"),
        ("XLA_PYTHON_CLIENT_MEM_FRACTION", ".4"),
        ("XLA_PYTHON_CLIENT_ALLOCATOR", "cuda_async"),
    ],
)
def test_what_the_user_set_stands(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    before = generate_pjrt_gpu_plugin_options()
    devices.share_memory()
    assert generate_pjrt_gpu_plugin_options() == before
    assert devices.preallocates()


def test_importing_the_package_is_enough():
    code = "import reverie, jaxlib.xla_client as x; print(x.generate_pjrt_gpu_plugin_options()['preallocate'])"
    clean = {name: value for name, value in os.environ.items() if name not in devices.MEMORY_VARIABLES}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("device", HAVE_BFLOAT16 + LACK_IT, ids=lambda device: f"{vars(device)}")
def test_auto_is_bfloat16_where_the_device_has_it(device, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert compute_dtype(ModelConfig()) == ("bfloat16" if device in HAVE_BFLOAT16 else "float32")
    assert compute_dtype(ModelConfig(compute_dtype="bfloat16")) == "bfloat16"


def test_bfloat16_is_refused_where_it_would_be_emulated():
    with pytest.raises(InputError, match=r"The GPU \(a card, compute capability 7.5\) has no bfloat16.*'auto' or "):
        devices.check_dtype("bfloat16", T4)
    for dtype, device in (("auto", T4), ("float32", T4), ("bfloat16", A100), ("bfloat16", CPU), ("bfloat16", MI300)):
        devices.check_dtype(dtype, device)


def test_a_run_says_what_its_gpu_lacks(monkeypatch):
    monkeypatch.setattr(devices, "capability", lambda device: 7.5)
    small = ModelConfig(deter=8, hidden=4, classes=2, depth=2, units=4, groups=2, blocks=2)
    with pytest.raises(InputError, match="has no bfloat16"):
        Trainer("CartPole-v1", Config(model=replace(small, compute_dtype="bfloat16")), quiet=True)
    trainer = Trainer("CartPole-v1", Config(model=small), quiet=True)
    trainer.close()
    assert "the GPU (cpu, compute capability 7.5) has no bfloat16, so the networks compute in float32." in cautions(
        trainer.agent
    )


def test_precision_names_tf32_where_jax_rounds_to_it():
    assert devices.precision("float32", H100) == "float32 with products in TF32"
    assert devices.precision("bfloat16", H100) == "bfloat16"
    assert [devices.precision("float32", device) for device in (CPU, T4, MI300)] == ["float32"] * 3
    assert devices.precision("float32", TPU) == "float32 with products in bfloat16"
    for asked, told in (("default", "float32 with products in TF32"), ("float32", "float32"), ("highest", "float32")):
        with jax.default_matmul_precision(asked):
            assert devices.precision("float32", H100) == told
