"""The benchmarks' own logic, and the script for a GPU, which runs here for real with tiny models on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import kernels, requirements, summary

ROOT = Path(__file__).parents[1]

PROFILE = """
planes {
  name: "/host:CPU"
  lines { name: "tf_XLAPjRtCpuClient/1" events { metadata_id: 1 duration_ps: 9000000000 } }
  event_metadata { key: 1 value { id: 1 name: "host work" } }
}
planes {
  name: "/device:GPU:0"
  lines {
    name: "Stream #13(Compute)"
    events { metadata_id: 1 duration_ps: 1000000000 }
    events { metadata_id: 2 duration_ps: 4000000000 }
    events { metadata_id: 1 duration_ps: 2000000000 }
  }
  lines { name: "XLA Modules" events { metadata_id: 3 duration_ps: 8000000000 } }
  event_metadata { key: 1 value { id: 1 name: "fusion" } }
  event_metadata { key: 2 value { id: 2 name: "gemm" } }
  event_metadata { key: 3 value { id: 3 name: "jit_update" } }
}
planes {
  name: "/device:CUSTOM:Megascale Trace"
  lines { name: "Stream #1" events { metadata_id: 1 duration_ps: 1 } }
  event_metadata { key: 1 value { id: 1 name: "no kernel" } }
}
"""


def test_a_profile_gives_the_kernels_on_the_gpus_streams():
    found = kernels.kernels(jax.profiler.ProfileData.from_text_proto(PROFILE))
    assert found == [("gemm", 1, 4.0), ("fusion", 2, 3.0)]
    assert kernels.table(found, updates=2).endswith("| 2.000 | 0.5 | gemm |\n| 1.500 | 1 | fusion |")


def test_without_a_gpu_a_profile_gives_the_cpus_kernels(tmp_path):
    x = jax.numpy.ones((300, 300))  # large enough for a thread of XLA's own
    program = jax.jit(lambda x: jax.numpy.sort(x @ x)).lower(x).compile()
    found = kernels.profiled(lambda: program(x).block_until_ready(), tmp_path / "one.xplane.pb.gz")
    assert any("sort" in kernel.name for kernel in found)
    assert os.listdir(tmp_path) == ["one.xplane.pb.gz"]


def test_a_summary_shows_what_there_is(tmp_path):
    assert summary.summary(tmp_path) == "\n"
    (tmp_path / "stages.tsv").write_text("doctor\t3\tok\nvector\t60\tended after its 60 s\n")
    row = {"size": "size1m", "input": "vector", "dtype": "bfloat16", "textbook": False, "median ms": 9.87654}
    document = {"machine": {"device": "a card"}, "rows": [row | {"launches": 4410.0, "launches counted": 4407}]}
    (tmp_path / "update-20260101-000000.json").write_text(json.dumps(document))
    rows = [{"step": step, "episode/return": float(step)} for step in range(1, 121)]
    rows += [{"step": 120, "rate/env_steps": 16.0 * rate, "rate/updates": rate} for rate in (0.0, 2.0, 3.0, 9.0)]
    (tmp_path / "learning.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = summary.summary(tmp_path)
    assert "device: a card" in shown
    assert "| vector | 60 | ended after its 60 s |" in shown
    assert "| size1m | vector | bfloat16 |  | 9.88 |  |  |  | 4,410 | 4407 |  |  |" in shown
    assert "| to 10 | 10 | 5.5 |" in shown
    assert "| to 120 | 10 | 116 |" in shown  # 115.5
    assert "| one | 48 | 3 |" in shown  # once it learns
    assert "loop" not in shown


def test_packed_requirements_leave_jax_to_the_machine():
    names = {line.partition("==")[0] for line in requirements.pinned(["reverie", "pytest"], "3.12")}
    assert {"equinox", "gymnasium", "optax", "tyro", "pytest", "pluggy", "typeguard"} <= names
    assert not names & {"jax", "jaxlib", "numpy", "ml-dtypes", "reverie", "tomli"}


def accelerator(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "benchmarks/accelerator.sh", *arguments]
    environment = os.environ | {"PYTHON": sys.executable}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


def results(folder: Path) -> dict[str, str]:
    lines = (folder / "stages.tsv").read_text().splitlines()
    return {stage: result for stage, _, result in (line.split("\t") for line in lines)}


def test_the_script_refuses_what_it_does_not_know(tmp_path):
    refused = accelerator("--tiny", "--out", str(tmp_path), "vectors")
    assert refused.returncode == 2
    assert "There is no option or stage 'vectors'." in refused.stderr
    refused = accelerator("--out", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("JAX sees no accelerator. --tiny tries the script out on a CPU.\n")


def test_one_stage_of_the_script_runs(tmp_path):
    done = accelerator("--tiny", "--out", str(tmp_path), "vector")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(tmp_path) == {"vector": "ok"}
    assert "| ms per update | calls | kernel |" in (tmp_path / "vector.log").read_text()
    assert "| tiny | vector | bfloat16 |" in (tmp_path / "summary.md").read_text()
    [file] = tmp_path.glob("update-*.json")
    [row] = json.loads(file.read_text())["rows"]
    assert row["launches"] == pytest.approx(row["launches counted"], rel=0.05)  # as profiled, and from the program


def test_the_script_ends_in_its_time(tmp_path):
    done = accelerator("--tiny", "--seconds", "0", "--out", str(tmp_path), "parity", "loop")
    assert done.returncode == 0
    assert results(tmp_path) == dict.fromkeys(("parity", "loop"), "skipped: no time left")


@pytest.mark.slow
def test_every_stage_of_the_script_runs(tmp_path):
    done = accelerator("--tiny", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    ended = results(tmp_path)
    assert " ".join(ended) == "doctor parity vector pixels textbook float32 loop learning large seeds"
    assert set(ended.values()) <= {"ok", "skipped: this version has no --seeds"}
    shown = (tmp_path / "summary.md").read_text()
    assert [shown.count(text) for text in ("| tiny | pixels |", "| tiny | vector |", "| fast |")] == [2, 3, 1]
    assert "GFLOP/s" in (tmp_path / "doctor.log").read_text()
    assert "mean return" in shown
    assert (tmp_path / "tiny-vector-bfloat16.xplane.pb.gz").stat().st_size > 0
    deepest = max(len(path.relative_to(tmp_path).parts) for path in tmp_path.rglob("*"))
    assert deepest == 1  # so that it is easily fetched
