"""A video of episodes, written while they are played. May import: `dreams`, `envs`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reverie.dreams.video import Video, frame_rate
from reverie.envs import AnyEnvironments


class Film:
    """Films the first episodes of the first environment.

    Args:
        environments: created with the render mode "rgb_array".
        video: where the frames go.
        episodes: how many to film.
    """

    def __init__(self, environments: AnyEnvironments, video: Video, episodes: int) -> None:
        self._environments, self._video, self.episodes = environments, video, episodes

    def take(self) -> None:
        """Add a frame of what the environment looks like now."""
        self._video.add(self._environments.render_frame(0))


@contextmanager
def filming(environments: AnyEnvironments, path: Path | None, episodes: int) -> Iterator[Film | None]:
    """A film at the environment's own frame rate, which is complete when the context ends; None without a path."""
    if path is None:
        yield None
        return
    with Video(path, frame_rate(environments.render_fps)) as video:
        yield Film(environments, video, episodes)
