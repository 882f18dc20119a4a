"""The pictures and films of open-loop predictions in a run's folder. May import: `storage`, this room.

dreams/000000012345.json        losses by horizon, after this many environment steps
dreams/000000012345.png         numbers, reward and continuation; needs Matplotlib
dreams/000000012345-KEY.mp4     a film of each image observation; needs Pillow, and is a .gif without imageio-ffmpeg
"""

import math
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from reverie.dreams.open_loop import OpenLoop
from reverie.storage import as_json, empty_folder, remove

NEWEST = 9  # predictions kept besides the first


class Album:
    """Writes predictions to a folder, and keeps the first and the newest. Each is written completely or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def missing(self, images: bool) -> str | None:
        """A sentence about packages to install, or None; `images` says whether there are image observations."""
        lacking = []
        if images and not find_spec("PIL"):
            lacking.append("install films with: pip install 'reverie[video]'")
        if not find_spec("matplotlib"):
            lacking.append("install curves with: pip install 'reverie[plot]'")
        return f"Open-loop predictions lack pictures; {', and '.join(lacking)}." if lacking else None

    def add(self, step: int, dream: OpenLoop) -> None:
        """Draw a prediction of NumPy arrays; it replaces one of the same step.

        Raises:
            OSError: the files can't be written, for instance because the disk is full; the folder is unchanged.
        """
        unfinished = empty_folder(self.folder.parent, self.folder.name, ".unfinished")
        try:
            self._draw(unfinished / f"{step:012d}", step, dream)
            for old in self.folder.glob(f"{step:012d}[-.]*"):
                remove(old)
            for new in unfinished.iterdir():
                new.replace(self.folder / new.name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        self._prune()

    def _draw(self, path: Path, step: int, dream: OpenLoop) -> None:
        title = f"Open loop after {step:,} steps"
        errors = {name: [None if math.isnan(x) else x for x in error.tolist()] for name, error in dream.error.items()}
        path.with_suffix(".json").write_text(as_json({"step": step, "error": errors}), encoding="utf-8")
        if find_spec("matplotlib"):
            from reverie.dreams.lines import draw_lines

            draw_lines(path.with_suffix(".png"), dream, title)
        if find_spec("PIL"):
            from reverie.dreams.film import draw_film, write_film

            for key, (truth, prediction) in dream.observation.items():
                if truth.dtype == np.uint8:
                    name = f"{path.name}-{re.sub(r'[^A-Za-z0-9_]+', '-', key)}"
                    write_film(path.with_name(name), draw_film(truth, prediction, dream.horizon, f"{title} · {key}"))

    def _prune(self) -> None:
        """Remove all predictions but the first and the newest."""
        steps = sorted(path.stem for path in self.folder.glob("*.json") if re.fullmatch(r"[0-9]{12,}", path.stem))
        for step in steps[1:-NEWEST]:
            for path in self.folder.glob(f"{step}[-.]*"):
                remove(path)
