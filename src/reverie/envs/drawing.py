"""How MuJoCo draws on a machine without a screen or without a GPU.

On a CPU a frame of 64 × 64 takes a fraction of the time without multisampling and reflections and with a coarse map of
the shadows (`benchmarks.drawing` measures it); brightnesses differ by 1 to 2 of 255 in the mean. Shadows stay: without
them MuJoCo leaves out much of the light.

May import: Gymnasium, and MuJoCo where it is installed.
"""

import os
import sys
from ctypes.util import find_library
from functools import cache
from typing import Any

import gymnasium as gym

SHADOW_MAP = 256  # texels a side, instead of 4096


@cache
def choose_backend() -> None:
    """Let MuJoCo draw without a screen where there is none, unless MUJOCO_GL says how. Before MuJoCo is imported."""
    if sys.platform != "linux" or os.environ.keys() & {"MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"}:
        return
    for backend, library in {"egl": "EGL", "osmesa": "OSMesa"}.items():
        if find_library(library):
            os.environ["MUJOCO_GL"] = backend
            return


@cache
def on_cpu() -> bool:
    """Whether what MuJoCo draws with is a program for the CPU, as Mesa's llvmpipe is."""
    import mujoco

    if os.environ.get("MUJOCO_GL", "").lower() == "osmesa":
        return True
    try:
        context = mujoco.GLContext(16, 16)
        context.make_current()
        from OpenGL import GL

        name = GL.glGetString(GL.GL_RENDERER).decode().lower()
        context.free()
    except Exception:  # of whatever kind the missing part raises; then drawing says so itself
        return False
    return any(known in name for known in ("llvmpipe", "softpipe", "swrast", "software"))


def simplify(model: Any, fast: bool | None = None) -> None:
    """Draw a model faster, before its first frame. `fast`: whether to; None: where a CPU draws."""
    if on_cpu() if fast is None else fast:
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = SHADOW_MAP
        model.mat_reflectance[:] = 0


def simplify_env(env: gym.Env[Any, Any], fast: bool | None = None) -> None:
    """The same for one of Gymnasium's environments, if it draws and does so with MuJoCo."""
    mujoco = sys.modules.get("mujoco")
    model = getattr(env.unwrapped, "model", None)
    if mujoco and env.unwrapped.render_mode and isinstance(model, mujoco.MjModel):
        simplify(model, fast)
