"""`reverie doctor`: what it finds, and that it tells a sound installation from one that is not."""

from importlib.metadata import PathDistribution

import jax
import jax.numpy as jnp
import pytest

from reverie.cli import doctor, main

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
    monkeypatch.setattr(doctor, "DRIVER", doctor.Path("nowhere"))
    main(["doctor"])
    shown = found(capsys)
    assert shown["packages"].startswith(f"ok: jax {jax.__version__}, ")
    assert shown["devices"].startswith("ok: 1 × cpu")
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
    monkeypatch.setitem(doctor.SLOWEST, "cpu", 1e30)
    assert "far less than expected" in doctor._speed("cpu").text
    monkeypatch.setattr(jnp, "ones", lambda shape, dtype: jnp.full(shape, 2, dtype))
    assert doctor._speed("cpu").state == "problem"
    assert "WRONG" in doctor._speed("cpu").text


def test_a_driver_that_jax_does_not_use_is_a_problem(tmp_path, monkeypatch, capsys):
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n")
    monkeypatch.setattr(doctor, "DRIVER", driver)
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(SystemExit) as stopped:
        main(["doctor"])
    assert stopped.value.code == 1
    shown = capsys.readouterr()
    assert "NVIDIA 550.54.15, but JAX computes on the CPU: pip install 'reverie[gpu]'" in shown.out
    assert shown.err == "Error: This installation has a problem with its driver; see above.\n"


def test_the_compilation_cache_can_be_off_or_unwritable(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert doctor._cache().state == "problem"
    monkeypatch.setenv("REVERIE_COMPILE_CACHE", "0")
    assert doctor._cache().text == "off, because REVERIE_COMPILE_CACHE is 0: every start compiles again"
