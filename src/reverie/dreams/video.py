"""A video file that is written frame by frame, so that an episode of any length takes no memory.

May import: `errors`; NumPy, imageio_ffmpeg's encoder, and Pillow where there is no encoder.
"""

import os
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from reverie.errors import InputError

PATIENCE = 120  # seconds that the encoder gets to finish
USUAL_FPS = 30.0
SUFFIXES = (".mp4", ".gif")


class Video:
    """Encodes frames to a file while they come in; use it as a context manager.

    The file appears when the context ends without an exception, complete; otherwise nothing is left.

    Args:
        path: the file, .mp4 or .gif.
        fps: frames per second.

    Raises:
        InputError: the suffix is unknown, or the encoder is not installed.
    """

    def __init__(self, path: Path, fps: float):
        if path.suffix not in SUFFIXES:
            raise InputError(f"A video must be named .mp4 or .gif, got '{path.name}'.")
        if path.suffix == ".mp4" and not has_encoder():
            raise InputError("An .mp4 needs imageio-ffmpeg; install it with: pip install 'reverie[video]'")
        self._path, self._fps = path, fps
        self._unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
        self._shape: tuple[int, ...] | None = None
        self._encoder: _Ffmpeg | _Pillow | None = None

    def add(self, frame: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame: uint8 (height, width), or (height, width, channels) with 1, 3 or 4 channels; all of the same size.

        Raises:
            InputError: the frame is no such picture, or has another size than the first one.
            OSError: the encoder failed.
        """
        pixels = _rgb(frame)
        if self._encoder is None:
            self._shape = pixels.shape
            self._path.parent.mkdir(parents=True, exist_ok=True)
            make = _Ffmpeg if has_encoder() else _Pillow
            self._encoder = make(self._unfinished, pixels.shape[0], pixels.shape[1], self._fps)
        if pixels.shape != self._shape:
            raise InputError(f"All frames of a video must have the same size, got {self._shape} and {pixels.shape}.")
        self._encoder.add(pixels)

    def __enter__(self) -> "Video":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._encoder is not None and kind is None:
                self._encoder.finish()
                self._unfinished.replace(self._path)
        finally:
            if self._encoder is not None:
                self._encoder.stop()
            if self._unfinished.is_file():
                self._unfinished.unlink()


def has_encoder() -> bool:
    """Whether ffmpeg is installed with imageio-ffmpeg."""
    return find_spec("imageio_ffmpeg") is not None


def frame_rate(render_fps: object) -> float:
    """The frames per second that an environment's metadata names, or 30 if that is no usable number."""
    if isinstance(render_fps, bool) or not isinstance(render_fps, int | float) or not 0.1 <= render_fps <= 1000:
        return USUAL_FPS
    return float(render_fps)


class _Ffmpeg:
    """Encodes in a separate process, fed through a pipe.

    imageio would fork this process, which runs JAX's threads, and might deadlock.
    """

    def __init__(self, path: Path, height: int, width: int, fps: float):
        from imageio_ffmpeg import get_ffmpeg_exe

        self._path = path
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed by stop; a pipe could fill up
        read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
        command = [get_ffmpeg_exe(), "-v", "error", "-y", *read, *_options(path), f"file:{path}"]
        group = 0 if os.name == "posix" else None  # a new one, which Ctrl-C does not reach
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._messages, process_group=group
        )

    def add(self, pixels: np.ndarray) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pixels.tobytes())
        except OSError:
            self.finish()  # which says why
            raise

    def finish(self) -> None:
        """Wait until the file is complete."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended already
            self._process.stdin.close()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"ffmpeg did not finish {self._path} within {PATIENCE} seconds.") from error
        if status:
            self._messages.seek(0)
            words = self._messages.read().decode(errors="replace").strip()[-200:]
            raise OSError(f"ffmpeg could not write {self._path}: {words}")

    def stop(self) -> None:
        """End the process, whether or not it has finished."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._messages.close()


class _Pillow:
    """A GIF without ffmpeg. Pillow writes it at the end, so the frames are kept, with 128 colors each."""

    def __init__(self, path: Path, height: int, width: int, fps: float):
        self._path, self._fps, self._frames = path, fps, list[Any]()

    def add(self, pixels: np.ndarray) -> None:
        from PIL import Image

        self._frames.append(Image.fromarray(pixels).quantize(128))

    def finish(self) -> None:
        first, *others = self._frames
        first.save(self._path, save_all=True, append_images=others, duration=round(1000 / self._fps), loop=0)

    def stop(self) -> None:
        self._frames.clear()


def _options(path: Path) -> list[str]:
    """ffmpeg's options for the output: a palette per frame for a GIF, H.264 with even sides for an MP4."""
    if path.suffix == ".gif":
        # A palette for each frame.
        palette = "split[a][b];[a]palettegen=stats_mode=single:reserve_transparent=0[p];[b][p]paletteuse=new=1"
        return ["-filter_complex", palette, "-gifflags", "-transdiff-offsetting", "-loop", "0"]
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
    return ["-vf", even, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]


def _rgb(frame: np.ndarray) -> np.ndarray:
    """A frame as (height, width, 3)."""
    pixels = np.asarray(frame)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.dtype != np.uint8 or not pixels.size:
        raise InputError(
            f"A frame must be uint8 with shape (height, width, 3), got {pixels.dtype} with shape {pixels.shape}."
        )
    return np.ascontiguousarray(pixels.repeat(3, 2) if pixels.shape[2] == 1 else pixels[..., :3])
