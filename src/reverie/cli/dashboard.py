"""`reverie dashboard`. May import: everything below `cli`."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import tyro

from reverie.config import Bound
from reverie.errors import InputError


@dataclass(frozen=True)
class Dashboard:
    """Show runs in a browser while they train, and play their dreams."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """A run's folder, or a folder that contains runs at any depth."""
    host: str = "127.0.0.1"
    """The address to listen on. Addresses other than this machine's own require a token."""
    port: Annotated[int | None, Bound(0, 65535)] = None
    """The port to listen on. By default the first free one from 8765."""
    token: str | None = None
    """The token that the page's address must contain. By default a random one, where one is required."""

    def __call__(self) -> None:
        import jax

        missing = [name for name in ("starlette", "uvicorn", "websockets") if find_spec(name) is None]
        if missing:
            raise InputError(
                f"The dashboard needs {' and '.join(missing)}; install it with: pip install 'reverie[dashboard]'"
            )
        from reverie.compiling import use_cache
        from reverie.dashboard.serve import serve

        if "JAX_PLATFORMS" not in os.environ:
            jax.config.update("jax_platforms", "cpu")  # leaves the accelerator's memory to training
        use_cache()
        serve(self.folder, host=self.host, port=self.port, token=self.token)
