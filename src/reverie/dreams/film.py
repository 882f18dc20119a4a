"""Open-loop predictions of images as a film: what happened, what was dreamed, and the difference, above each other.

Each column is a sequence. The frame of its dream changes colour while the model doesn't see. May import: nothing of
Reverie; Pillow, and imageio_ffmpeg's encoder where there is one.
"""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FPS = 8
PATIENCE = 120  # seconds for the encoder
WIDTH, TILE = 960, 96  # pixels: of a film at most, of an image at least
COLUMNS = 6  # at most
LEFT, TOP, GAP, FRAME = 78, 34, 8, 3
PAPER, INK, FAINT = (250, 250, 248), (40, 44, 52), (130, 134, 140)
SEEN, DREAMED = (150, 156, 164), (232, 119, 34)
HEAT = np.array([[12, 12, 24], [110, 30, 110], [230, 90, 50], [255, 240, 170]])  # from no error to the largest


def draw_film(truth: np.ndarray, prediction: np.ndarray, horizon: np.ndarray, title: str) -> np.ndarray:
    """The film's frames.

    Args:
        truth, prediction: (B, T, height, width, channels) uint8.
        horizon: (B, T), steps since the model has last seen something; 0 where it sees.

    Returns:
        (T, height, width, 3) uint8, both sides even.
    """
    height, width = truth.shape[2:4]
    scale = max(1, -(-TILE // min(height, width)))
    columns = max(1, min(COLUMNS, len(truth), (WIDTH - LEFT) // (scale * width + GAP)))
    rows = [_coloured(truth[:columns]), _coloured(prediction[:columns]), _error(truth[:columns], prediction[:columns])]
    large = [row.repeat(scale, 2).repeat(scale, 3) for row in rows]
    return np.stack(
        [_frame([row[:, t] for row in large], horizon[:columns, t], t, title) for t in range(len(truth[0]))]
    )


def write_film(path: Path, frames: np.ndarray) -> Path:
    """Beside `path`, as .mp4 where there is an encoder, else as .gif; returns where.

    Raises:
        OSError: it could not be written.
    """
    if find_spec("imageio_ffmpeg"):
        path = path.with_name(f"{path.name}.mp4")
        _encode(path, frames)
        return path
    path = path.with_name(f"{path.name}.gif")
    first, *others = (Image.fromarray(frame).quantize(128) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=1000 // FPS, loop=0)
    return path


def _encode(path: Path, frames: np.ndarray) -> None:
    """By ffmpeg itself: imageio would fork this process, which has JAX's threads, and might stand still for ever."""
    from imageio_ffmpeg import get_ffmpeg_exe

    size = f"{frames.shape[2]}x{frames.shape[1]}"
    read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(FPS), "-i", "-"]
    write = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *read, *write]
    group = 0 if os.name == "posix" else None  # its own, so that Ctrl-C doesn't reach it
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True, timeout=PATIENCE, process_group=group)
    if done.returncode:
        raise OSError(f"ffmpeg could not write {path}: {done.stderr.decode(errors='replace').strip()[-200:]}")


def _frame(rows: list[np.ndarray], horizon: np.ndarray, time: int, title: str) -> np.ndarray:
    """One moment: three rows of (columns, height, width, 3) pictures."""
    columns, height, width, _ = rows[0].shape
    across, down = width + GAP, height + GAP
    size = LEFT + columns * across, TOP + 3 * down + 22
    image = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), PAPER)
    draw, font, small = ImageDraw.Draw(image), ImageFont.load_default(15), ImageFont.load_default(13)
    draw.text((10, 8), f"{title} · step {time + 1}", INK, font)
    for row, (name, pictures) in enumerate(zip(("truth", "model", "error"), rows, strict=True)):
        top = TOP + row * down
        draw.text((LEFT - 12, top + height // 2), name, INK, font, anchor="rm")
        for column, picture in enumerate(pictures):
            left = LEFT + column * across
            if row == 1:
                colour = DREAMED if horizon[column] else SEEN
                draw.rectangle((left - FRAME, top - FRAME, left + width + FRAME - 1, top + height + FRAME - 1), colour)
            image.paste(Image.fromarray(picture), (left, top))
    for column, steps in enumerate(horizon):
        words, colour = (f"dreams, step {steps}", DREAMED) if steps else ("sees", FAINT)
        draw.text((LEFT + column * across + width // 2, TOP + 3 * down + 6), words, colour, small, anchor="mm")
    return np.asarray(image)


def _coloured(images: np.ndarray) -> np.ndarray:
    """(…, channels) as (…, 3): of stacked frames the newest, of odd numbers of channels the last as gray."""
    channels = images.shape[-1]
    return images[..., -3:] if channels % 3 == 0 else images[..., -1:].repeat(3, -1)


def _error(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The difference's size, as a colour."""
    share = np.abs(truth.astype(np.float32) - prediction).max(-1) / 255
    stops = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(share, stops, HEAT[:, colour]) for colour in range(3)], -1).astype(np.uint8)
