"""The conditions under which every test runs. This file is read before any of them imports `reverie`."""

import os
import sys
import types
from pathlib import Path

# The tests never need an accelerator, a screen or a loudspeaker; a person who has one can still say so.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

# What was compiled once is read back by the next run, by xdist's workers and by the commands that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import beartype
import jax
import jaxtyping
import pytest

# An addition of (B, T) and (T,) is a missing axis more often than it is meant.
jax.config.update("jax_numpy_rank_promotion", "raise")


# Every annotated argument and result of the package is checked on each call: types, dtypes and shapes.
# An int may stand for a float, as Python's own typing has it.
checker = types.ModuleType("reverie_test_checker")
checker.check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
jaxtyping.install_import_hook("reverie", "reverie_test_checker.check")


def pytest_configure(config: pytest.Config) -> None:
    """Tests compile much and compute little, so XLA should not try hard; numbers agree to rounding.

    Slow tests are asked for by their mark and compute much: for these, as users have it. XLA reads its flags when the
    first array is made, which is later than this.
    """
    if "slow" not in config.option.markexpr.replace("not slow", ""):
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
