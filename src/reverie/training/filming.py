"""A video of an episode. May import: `envs`, `errors`."""

from pathlib import Path

import numpy as np

from reverie.envs import AnyEnvironments
from reverie.errors import InputError

FPS = 30


class Film:
    """Collects frames of the first environment."""

    def __init__(self, environments: AnyEnvironments):
        try:
            import imageio.v3 as iio
        except ImportError as error:
            raise InputError('A video needs imageio; install it with: pip install "reverie[video]"') from error
        self._iio, self._environments, self._frames = iio, environments, list[np.ndarray]()

    def take(self) -> None:
        """Take a frame."""
        self._frames.append(self._environments.render_frame(0))

    def write(self, path: Path) -> None:
        """Write the video, as the path's suffix says."""
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = np.stack(self._frames)
        height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # H.264 needs even sides
        options = {"loop": 0} if path.suffix == ".gif" else {"codec": "libx264", "macro_block_size": 2}
        self._iio.imwrite(path, frames[:, :height, :width], fps=FPS, **options)
