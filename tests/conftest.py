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

import beartype
import jax
import jaxtyping

# An addition of (B, T) and (T,) is a missing axis more often than it is meant.
jax.config.update("jax_numpy_rank_promotion", "raise")

# Most of a test's time is compilation; the next run and xdist's workers read back what was compiled once.
if jax.config.jax_compilation_cache_dir is None:
    jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent / ".cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)

# Every annotated argument and result of the package is checked on each call: types, dtypes and shapes.
# An int may stand for a float, as Python's own typing has it.
checker = types.ModuleType("reverie_test_checker")
checker.check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
jaxtyping.install_import_hook("reverie", "reverie_test_checker.check")
