"""Open-loop predictions of images as a film: truth, prediction and error, stacked.

Each column is a sequence. The border of its prediction changes color where the model has no observation. May import:
`video`; Pillow.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reverie.dreams.video import Video, has_encoder

FPS = 8
WIDTH, TILE = 960, 96  # pixels: the largest width of a film, the smallest side of an image
COLUMNS = 6  # at most
LEFT, TOP, GAP, FRAME = 78, 34, 8, 3
PAPER, INK, FAINT = (250, 250, 248), (40, 44, 52), (130, 134, 140)
SEEN, DREAMED = (150, 156, 164), (232, 119, 34)
HEAT = np.array([[12, 12, 24], [110, 30, 110], [230, 90, 50], [255, 240, 170]])  # from no error to the largest


def draw_film(truth: np.ndarray, prediction: np.ndarray, horizon: np.ndarray, title: str) -> Iterator[np.ndarray]:
    """The film's frames, drawn one after another.

    Args:
        truth, prediction: (B, T, height, width, channels) uint8.
        horizon: (B, T), steps since the last observation; 0 at an observation.
        title: the heading of each frame.

    Yields:
        T frames, (height, width, 3) uint8.
    """
    height, width = truth.shape[2:4]
    scale = max(1, -(-TILE // min(height, width)))
    columns = max(1, min(COLUMNS, len(truth), (WIDTH - LEFT) // (scale * width + GAP)))
    for time in range(len(truth[0])):
        real, dreamed = truth[:columns, time], prediction[:columns, time]
        rows = [_colored(real), _colored(dreamed), _error(real, dreamed)]
        large = [row.repeat(scale, 1).repeat(scale, 2) for row in rows]
        yield _frame(large, horizon[:columns, time], time, title)


def write_film(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Write frames to `path` with the suffix .mp4, or .gif where there is no encoder; returns the path written.

    Raises:
        OSError: the file can't be written.
    """
    path = path.with_name(path.name + (".mp4" if has_encoder() else ".gif"))
    with Video(path, FPS) as video:
        for frame in frames:
            video.add(frame)
    return path


def _frame(rows: list[np.ndarray], horizon: np.ndarray, time: int, title: str) -> np.ndarray:
    """One frame: three rows of (columns, height, width, 3) pictures."""
    columns, height, width, _ = rows[0].shape
    across, down = width + GAP, height + GAP
    image = Image.new("RGB", (LEFT + columns * across, TOP + 3 * down + 22), PAPER)
    draw, font, small = ImageDraw.Draw(image), ImageFont.load_default(15), ImageFont.load_default(13)
    draw.text((10, 8), f"{title} · step {time + 1}", INK, font)
    for row, (name, pictures) in enumerate(zip(("truth", "model", "error"), rows, strict=True)):
        top = TOP + row * down
        draw.text((LEFT - 12, top + height // 2), name, INK, font, anchor="rm")
        for column, picture in enumerate(pictures):
            left = LEFT + column * across
            if row == 1:
                color = DREAMED if horizon[column] else SEEN
                draw.rectangle((left - FRAME, top - FRAME, left + width + FRAME - 1, top + height + FRAME - 1), color)
            image.paste(Image.fromarray(picture), (left, top))
    for column, steps in enumerate(horizon):
        words, color = (f"predicts step {steps}", DREAMED) if steps else ("observes", FAINT)
        draw.text((LEFT + column * across + width // 2, TOP + 3 * down + 6), words, color, small, anchor="mm")
    return np.asarray(image)


def _colored(images: np.ndarray) -> np.ndarray:
    """(…, channels) as (…, 3): the last three channels, or the last as gray if their number is no multiple of 3."""
    channels = images.shape[-1]
    return images[..., -3:] if channels % 3 == 0 else images[..., -1:].repeat(3, -1)


def _error(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The largest error over the channels, as a color."""
    share = np.abs(truth.astype(np.float32) - prediction).max(-1) / 255
    stops = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(share, stops, HEAT[:, color]) for color in range(3)], -1).astype(np.uint8)
