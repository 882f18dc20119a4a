"""`reverie doctor`: what it finds, and that it tells a sound installation from one that is not."""

from importlib.metadata import PathDistribution
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from reverie.cli import doctor, hardware, main

METADATA = """Metadata-Version: 2.4
Name: reverie
Version: 0.1.0
Provides-Extra: gpu
Provides-Extra: video
Provides-Extra: test
Requires-Dist: numpy<3,>=2.0
Requires-Dist: jax[cuda12]; extra == 'gpu'
Requires-Dist: no-such-package>=1; extra == "video"
Requires-Dist: numpy<3; extra == 'video'
Requires-Dist: pytest; extra == 'test'
"""


def found(capsys) -> dict[str, str]:
    """The answer, as subject → state and text."""
    lines = capsys.readouterr().out.splitlines()
    return {line[9:27].strip(): f"{line[:8].strip()}: {line[28:]}" for line in lines}


def test_a_sound_installation_is_described(capsys, monkeypatch):
    monkeypatch.setattr(hardware, "DRIVER", hardware.Path("nowhere"))
    main(["doctor"])
    shown = found(capsys)
    assert shown["packages"].startswith(f"ok: jax {jax.__version__}, ")
    assert shown["devices"].startswith("ok: 1 × cpu")
    assert shown["precision"] == "ok: model.compute_dtype auto is float32"
    assert "GFLOP/s in a float32 matrix product" in shown["speed"]
    assert jax.config.jax_compilation_cache_dir in shown["compile cache"]
    assert shown["extra dashboard"] == "ok: installed"
    assert "RAM free" in shown["memory"]


def test_extras_name_what_is_missing_and_the_command(tmp_path, monkeypatch):
    (tmp_path / "METADATA").write_text(METADATA)
    monkeypatch.setattr(doctor, "distribution", lambda name: PathDistribution(tmp_path))
    assert list(doctor._extras()) == [
        ("note", "extra gpu", "jax-cuda12-plugin missing: pip install 'reverie[gpu]'"),
        ("note", "extra video", "no-such-package missing: pip install 'reverie[video]'"),
    ]


def test_a_slow_device_and_a_wrong_one_are_problems(monkeypatch):
    monkeypatch.setitem(hardware.SLOWEST, "cpu", 1e30)
    assert "far less than expected" in hardware._speed(jax.devices()[0]).text
    monkeypatch.setattr(jnp, "ones", lambda shape, dtype: jnp.full(shape, 2, dtype))
    assert hardware._speed(jax.devices()[0]).state == "problem"
    assert "WRONG" in hardware._speed(jax.devices()[0]).text


def test_a_driver_that_jax_does_not_use_is_a_problem(tmp_path, monkeypatch, capsys):
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n")
    monkeypatch.setattr(hardware, "DRIVER", driver)
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(SystemExit) as stopped:
        main(["doctor"])
    assert stopped.value.code == 1
    shown = capsys.readouterr()
    assert "NVIDIA 550.54.15, but JAX computes on the CPU: pip install 'reverie[gpu]'" in shown.out
    assert shown.err == "Error: This installation has a problem with its driver; see above.\n"


SMI = """#!/bin/sh
[ "$*" = "--query-gpu=index,name,memory.free,memory.total,utilization.gpu --format=csv,noheader,nounits" ] || exit 9
echo "0, Tesla T4, 15000, 15360, 3"
echo "1, Tesla T4, 40, 15360, [N/A]"
"""


def test_the_memory_of_every_gpu_is_shown(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert [tuple(found) for found in hardware._gpus()] == [
        ("ok", "gpu 0", "Tesla T4: 15.7 GB of 16.1 GB free, 3% busy"),
        ("ok", "gpu 1", "Tesla T4: 41.9 MB of 16.1 GB free"),
    ]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 6\n")
    [failed] = hardware._gpus()
    assert failed.state == "note"
    assert "exit status 6" in failed.text


class Gpu(NamedTuple):
    """What JAX tells of a GPU."""

    compute_capability: str
    platform: str = "gpu"
    device_kind: str = "NVIDIA GPU"

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": 12 * 10**9}


def test_sharing_and_precision_of_a_gpu_are_shown(monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    assert [found.text for found in hardware._memory(Gpu("9.0"))][1:] == [
        "at most 12 GB per process, allocated as needed: several processes share the device"
    ]
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    assert [found.state for found in hardware._memory(Gpu("9.0"))] == ["ok", "note"]
    assert [found.text for found in hardware._precision(Gpu("9.0"))] == [
        "model.compute_dtype auto is bfloat16 (compute capability 9; bfloat16 from 8)",
        "is float32 with products in TF32; JAX_DEFAULT_MATMUL_PRECISION=float32 computes in full",
    ]
    assert [found.text for found in hardware._precision(Gpu("7.5"))] == [
        "model.compute_dtype auto is float32 (compute capability 7.5; bfloat16 from 8)"
    ]


def test_the_compilation_cache_can_be_off_or_unwritable(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert doctor._cache().state == "problem"
    monkeypatch.setenv("REVERIE_COMPILE_CACHE", "0")
    assert doctor._cache().text == "off, because REVERIE_COMPILE_CACHE is 0: every start compiles again"
