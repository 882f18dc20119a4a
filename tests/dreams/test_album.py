"""Pictures and films of open-loop predictions: what they show, and which are kept."""

import json

import numpy as np
import pytest
from PIL import Image

from reverie.dreams import Album, OpenLoop
from reverie.dreams.film import DREAMED, LEFT, SEEN, TOP, draw_film, write_film
from reverie.dreams.open_loop import Pair

B, T = 3, 6
HORIZON = np.array([[0, 0, 0, 1, 2, 3]] * B)
COLORS = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)


def pictures(channels: int = 3, side: int = 8) -> np.ndarray:
    """Images in one color per sequence."""
    return np.broadcast_to(COLORS[:, None, None, None, :1].repeat(channels, -1), (B, T, side, side, channels)).copy()


def dream(*, images: bool = True) -> OpenLoop:
    rng = np.random.default_rng(0)

    def pair(*shape: int) -> Pair:
        return Pair(rng.normal(size=(B, T, *shape)), rng.normal(size=(B, T, *shape)))

    observation = {"arm/angle": pair(20), "time": pair()} | (
        {"camera/top": Pair(pictures(), pictures())} if images else {}
    )
    first = np.zeros((B, T), bool)
    first[1, 2] = True
    return OpenLoop(observation, pair(), pair(), first, HORIZON, {"rew": np.array([0.5, 1.5, np.nan, 2.0])})


def film(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.stack(list(draw_film(truth, prediction, HORIZON[:, : truth.shape[1]], "title")))


def test_a_film_shows_truth_model_and_error_above_each_other():
    truth = np.broadcast_to(COLORS[:, None, None, None], (B, T, 8, 8, 3))
    frames = film(truth, np.zeros_like(truth))
    assert len(frames) == T
    across = 96 + 8
    for column, color in enumerate(COLORS):
        left = LEFT + column * across
        np.testing.assert_array_equal(frames[0, TOP + 48, left + 48], color)
        np.testing.assert_array_equal(frames[0, TOP + across + 48, left + 48], 0)
        assert frames[0, TOP + 2 * across + 48, left + 48].sum() > 300  # a large error is bright
    borders = [tuple(frame[TOP + across - 2, LEFT + 10].tolist()) for frame in frames]
    assert borders == [SEEN] * 3 + [DREAMED] * 3
    assert np.any(frames[2, -22:] != frames[3, -22:])  # the caption changes, too


def test_no_error_is_dark():
    frames = film(pictures(), pictures())
    assert frames[0, TOP + 2 * (96 + 8) + 48, LEFT + 48].max() < 30


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 9])
def test_any_number_of_channels_is_drawn(channels):
    assert film(pictures(channels), pictures(channels)).shape[-1] == 3


@pytest.mark.parametrize("shape", [(8, 200), (256, 9), (256, 300)])
def test_any_shape_is_drawn(shape):
    images = np.zeros((B, 2, *shape, 3), np.uint8)
    assert len(film(images, images)) == 2


def test_without_an_encoder_a_film_is_a_gif(tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.dreams.film.has_encoder", lambda: False)
    monkeypatch.setattr("reverie.dreams.video.has_encoder", lambda: False)
    path = write_film(tmp_path / "film", draw_film(pictures(), pictures(), HORIZON, "title"))
    assert path.suffix == ".gif"
    with Image.open(path) as film:
        assert film.n_frames > 1


def test_an_encoder_that_fails_says_why(tmp_path):
    (tmp_path / ".film.unfinished.mp4").mkdir()
    with pytest.raises(OSError, match="ffmpeg could not write .*Is a directory"):
        write_film(tmp_path / "film", draw_film(pictures(), pictures(), HORIZON, "title"))


def test_an_album_has_errors_curves_and_films_of_every_image(tmp_path):
    Album(tmp_path).add(42, dream())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"000000000042.json", "000000000042.png", "000000000042-camera-top.mp4"}
    assert json.loads((tmp_path / "000000000042.json").read_text()) == {
        "step": 42,
        "error": {"rew": [0.5, 1.5, None, 2.0]},
    }
    with Image.open(tmp_path / "000000000042.png") as picture:
        assert picture.width > 600


def test_the_first_and_the_newest_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.dreams.album.NEWEST", 2)
    monkeypatch.setattr("reverie.dreams.album.find_spec", lambda name: None)
    for step in (1, 2, 3, 4, 4, 5):
        Album(tmp_path).add(step, dream(images=False))
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == [1, 4, 5]


def test_a_dream_that_can_not_be_drawn_leaves_nothing(tmp_path, monkeypatch):
    Album(tmp_path).add(1, dream(images=False))
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("reverie.dreams.film.write_film", full)
    with pytest.raises(OSError, match="No space left"):
        Album(tmp_path).add(1, dream())
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    assert Album(tmp_path).missing(True) is None
    monkeypatch.setattr("reverie.dreams.album.find_spec", lambda name: None)
    assert "reverie[video]" in Album(tmp_path).missing(True)
    assert "reverie[video]" not in Album(tmp_path).missing(False)
    Album(tmp_path).add(1, dream())
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
