"""Videos are encoded frame by frame, and are complete or absent."""

import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from reverie.dreams import video
from reverie.dreams.video import USUAL_FPS, Video, frame_rate
from reverie.errors import InputError

ffmpeg = pytest.importorskip("imageio_ffmpeg")


def frames(count: int, height: int = 7, width: int = 9) -> list[np.ndarray]:
    return [np.full((height, width, 3), 10 * i % 256, np.uint8) for i in range(count)]


def test_a_video_has_all_frames_at_their_rate(tmp_path):
    with Video(tmp_path / "new" / "film.mp4", 12.5) as film:
        for frame in frames(10):
            film.add(frame)
        assert not (tmp_path / "new" / "film.mp4").exists()
    decode = [ffmpeg.get_ffmpeg_exe(), "-i", tmp_path / "new" / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(decode, capture_output=True, check=True)
    assert len(decoded.stdout) == 10 * 8 * 10 * 3  # frames, height, width, channels: H.264 has even sides
    assert b"12.50 fps" in decoded.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["film.mp4"]


def write(path: Path, pictures: list[np.ndarray]) -> None:
    with Video(path, 30) as film:
        for frame in pictures:
            film.add(frame)


@pytest.mark.parametrize("encoder", [True, False])
def test_a_gif_has_all_frames_at_their_rate(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(video, "has_encoder", lambda: encoder)
    grays = [0, 80, 160, 0, 80, 160]  # back to black: ffmpeg's own optimization of GIFs once left the frame before
    with Video(tmp_path / "film.gif", 20) as film:
        for gray in grays:
            film.add(np.full((7, 9, 3), gray, np.uint8))
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.info["duration"] == 50
        assert [frame.convert("RGB").getpixel((0, 0))[0] for frame in ImageSequence.Iterator(gif)] == grays


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_gray_and_transparent_frames_are_colored(tmp_path, shape):
    with Video(tmp_path / "film.mp4", 30) as film:
        film.add(np.zeros(shape, np.uint8))
    assert (tmp_path / "film.mp4").stat().st_size


def test_a_film_that_is_broken_off_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="must be uint8"):
        write(tmp_path / "film.mp4", [*frames(1), np.zeros(3)])
    assert not any(tmp_path.iterdir())
    with Video(tmp_path / "film.mp4", 30):
        pass  # no frame, no film
    assert not any(tmp_path.iterdir())


def test_frames_are_not_kept(tmp_path):
    """50 frames of a megabyte each pass through without adding up."""
    frame = np.zeros((500, 700, 3), np.uint8)
    tracemalloc.start()
    try:
        with Video(tmp_path / "film.mp4", 30) as film:
            for _ in range(50):
                film.add(frame)
        assert tracemalloc.get_traced_memory()[1] < 5 * frame.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (np.zeros((7, 9, 3), np.float32), "must be uint8"),
        (np.zeros((7, 9, 2), np.uint8), "must be uint8"),
        (np.zeros((0, 9, 3), np.uint8), "must be uint8"),
        (np.zeros((7, 8, 3), np.uint8), "the same size"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(tmp_path, bad, problem):
    with pytest.raises(InputError, match=problem):
        write(tmp_path / "film.mp4", [*frames(1), bad])
    assert not any(tmp_path.iterdir())


def test_unknown_suffixes_and_missing_encoders_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"must be named .mp4 or .gif, got 'film.avi'"):
        Video(tmp_path / "film.avi", 30)
    monkeypatch.setattr(video, "has_encoder", lambda: False)
    with pytest.raises(InputError, match="imageio-ffmpeg"):
        Video(tmp_path / "film.mp4", 30)


def test_an_encoder_that_dies_says_why(tmp_path):
    (tmp_path / ".film.unfinished.mp4").mkdir()
    with pytest.raises(OSError, match="ffmpeg could not write .*Is a directory"):
        write(tmp_path / "film.mp4", frames(100, 500, 500))


@pytest.mark.parametrize(
    ("named", "fps"),
    [(8, 8), (12.5, 12.5)]
    + [(fps, USUAL_FPS) for fps in (0, -1, None, "60", True, float("nan"), float("inf"), 1e9)],
)
def test_the_frame_rate_is_the_environments(named, fps):
    assert frame_rate(named) == fps
