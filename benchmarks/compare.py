"""Compare two versions of the update alternately: commits, or the tuned and the literal ("textbook") form.

Each side runs in its own process, from its own checkout, and waits while the other computes. Machine drift affects both
sides, so that pairs of times can be divided; the result is the ratio with its spread.

    python -m benchmarks.compare tuned textbook
    python -m benchmarks.compare main HEAD --input pixels
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro

from benchmarks.common import (
    Dtype,
    Input,
    Size,
    literal,
    milliseconds,
    peak_gflops,
    quartiles,
    report,
    spread,
    workload,
)
from reverie.compiling import compiler_options
from reverie.nn import plain_convolutions

ROOT = Path(__file__).parent.parent
FORMS = ("tuned", "textbook")


@dataclass(frozen=True)
class Settings:
    """Time pairs of updates and report their ratio."""

    first: tyro.conf.Positional[str] = "tuned"
    """"tuned" or "textbook" (of this working tree), or a commit."""
    second: tyro.conf.Positional[str] = "textbook"
    size: Size = "size1m"
    input: Input = "vector"
    dtype: Dtype = "auto"
    part: str = "update"
    """"update", "gradient" of the loss, "convolutions" (encoder and decoder of images with their gradient)."""
    batch: int = 16
    length: int = 64
    pairs: int = 20
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    with started(settings, settings.first) as first, started(settings, settings.second) as second:
        pairs = [(ask(first), ask(second)) for _ in range(settings.pairs + 2)][2:]
        peak = ask(first, "peak")
    rows: list[dict[str, Any]] = []
    for side, times in zip((settings.first, settings.second), zip(*pairs, strict=True), strict=True):
        rows.append({"side": side, **{f"{name} ms": x for name, x in quartiles(times).items()}, "times": list(times)})
    rows.append({"side": f"{settings.second} / {settings.first}", **spread([b / a for a, b in pairs])})
    rows.append({"side": "matrix-product peak", "GFLOP/s": peak})
    report("compare", settings, rows, settings.output)


@contextmanager
def started(settings: Settings, side: str) -> Iterator[subprocess.Popen[str]]:
    """A process that computes one update per line of input, with the package and the benchmarks of its own side."""
    with nullcontext(str(ROOT)) if side in FORMS else checkout(side) as root:
        case = [settings.size, settings.input, settings.dtype, settings.batch, settings.length, settings.part]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.compare", "--side", side, json.dumps(case)],
            cwd=root,
            env=os.environ | {"PYTHONPATH": f"{root}/src"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"{side} did not start; its message is above.")
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def checkout(commit: str) -> Iterator[str]:
    """Check out a commit in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", folder, commit], cwd=ROOT, check=True)
        try:
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def ask(process: subprocess.Popen[str], what: str = "time") -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def serve(side: str, case: list[Any]) -> None:
    """Run one side: compile, print "ready", then time one call per line of input."""
    *load, part = case
    with plain_convolutions() if side == "textbook" else nullcontext():
        call = compiled(part, side == "textbook", *load)
    milliseconds(call, 1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(peak_gflops("float32") if line.strip() == "peak" else milliseconds(call, 1)[0], flush=True)


def compiled(part: str, textbook: bool, *load: Any) -> Any:
    learner, batch = workload(*load, textbook=textbook)
    state = jax.jit(learner.init)(jax.random.key(0))
    if textbook:
        state = state._replace(networks=literal(state.networks))
    key = jax.random.key(1)
    if part == "convolutions":
        model = state.networks.world_model

        def error(model: Any, latent: Any, images: Any) -> Any:
            embedded = model.encoder.images(images.astype("float32") / 255 - 0.5)
            drawn = model.decoder.images(latent.deter, latent.flat_stoch)
            losses = (output.loss(images) for output in drawn.values())
            return sum(loss.sum() for loss in losses) + embedded.sum()

        images = batch.observation["image"][:, 1:]
        latent = model.initial(images.shape[:2])
        function, arguments = jax.grad(error), (model, latent, images)
    else:
        function, arguments = getattr(learner, part), (state, batch, key)
    executable = jax.jit(function, compiler_options=compiler_options()).lower(*arguments).compile()
    return lambda: executable(*arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        serve(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main(tyro.cli(Settings, description=__doc__))
