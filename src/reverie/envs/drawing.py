"""Rendering without a display or a GPU.

On a CPU, a 64 × 64 frame renders several times faster without multisampling and reflections and with a coarse shadow
map (`benchmarks.drawing` measures it); pixels differ by 1 to 2 of 255 on average. Shadows stay on: without them MuJoCo
omits much of the light.

May import: Gymnasium, and MuJoCo where it is installed.
"""

import os
import sys
from ctypes.util import find_library
from functools import cache
from typing import Any

import gymnasium as gym

SHADOW_MAP = 256  # texels per side, instead of 4096


@cache
def choose_backend() -> None:
    """Select off-screen drawing if there is no display; call before importing MuJoCo or Pygame.

    MUJOCO_GL and SDL_VIDEODRIVER are kept where they are set. Without a driver, Pygame's SDL tries to reach a display
    and complains about XDG_RUNTIME_DIR.
    """
    if sys.platform != "linux" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if "MUJOCO_GL" in os.environ:
        return
    for backend, library in {"egl": "EGL", "osmesa": "OSMesa"}.items():
        if find_library(library):
            os.environ["MUJOCO_GL"] = backend
            return


@cache
def on_cpu() -> bool:
    """Whether MuJoCo renders in software, for example with Mesa's llvmpipe."""
    import mujoco

    if os.environ.get("MUJOCO_GL", "").lower() == "osmesa":
        return True
    try:
        context = mujoco.GLContext(16, 16)
        context.make_current()
        from OpenGL import GL

        name = GL.glGetString(GL.GL_RENDERER).decode().lower()
        context.free()
    except Exception:  # a missing library may raise anything; rendering itself reports it better
        return False
    return any(known in name for known in ("llvmpipe", "softpipe", "swrast", "software"))


def simplify(model: Any, fast: bool | None = None) -> None:
    """Make a model render faster; call before its first frame. `fast` None: only where rendering runs on a CPU."""
    if on_cpu() if fast is None else fast:
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = SHADOW_MAP
        model.mat_reflectance[:] = 0


def simplify_env(env: gym.Env[Any, Any], fast: bool | None = None) -> None:
    """Apply `simplify` to a Gymnasium environment if it renders with MuJoCo."""
    mujoco = sys.modules.get("mujoco")
    model = getattr(env.unwrapped, "model", None)
    if mujoco and env.unwrapped.render_mode and isinstance(model, mujoco.MjModel):
        simplify(model, fast)
