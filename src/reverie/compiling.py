"""How XLA compiles: options for each platform, and a cache of compiled programs. May import: nothing of Reverie."""

import os
from pathlib import Path

import jax

# Set to 0 to recompile every program in every process.
CACHE_SWITCH = "REVERIE_COMPILE_CACHE"


def compiler_options(*, once: bool = False) -> dict[str, str]:
    """Return the options for `jax.jit` of a large program; `once` for a program that runs a single time.

    On a CPU, LLVM's highest level makes an update a fifth slower to compile and no faster to run; results differ by
    rounding at most. A program that runs once compiles in half the time at the lowest level that optimizes.
    """
    if jax.default_backend() != "cpu":
        return {}
    return {"xla_backend_optimization_level": "1" if once else "2"}


def use_cache() -> Path | None:
    """Cache compiled programs on disk, so that the next process starts quickly; return the folder, None if disabled.

    The folder is `$XDG_CACHE_HOME/reverie/compiled`, by default `~/.cache/reverie/compiled`. A folder that JAX was
    given already (`JAX_COMPILATION_CACHE_DIR`) is kept. `REVERIE_COMPILE_CACHE=0` disables the cache; deleting the
    folder is always safe. On a GPU, JAX makes XLA keep its autotuning results there, too.
    """
    if os.environ.get(CACHE_SWITCH) == "0":
        return None
    chosen = jax.config.values["jax_compilation_cache_dir"]
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if home.startswith("~"):  # this user has no home
        return None
    folder = Path(home) / "reverie" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return folder
