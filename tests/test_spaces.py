"""Spaces: features, conversion of observations and actions, saving, and the wording of errors."""

import json
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.spaces import DTYPES, Continuous, Discrete, Image, Spaces, UnsupportedSpaceError, choose, restrict

MOVE = spaces.Discrete(3)
FLOAT = spaces.Box(-1, 1, (2,), np.float32)
INF = np.inf


def observing(space: gym.Space[Any]) -> Spaces:
    return Spaces(space, MOVE)


def acting(space: gym.Space[Any]) -> Spaces:
    return Spaces(FLOAT, space)


def decode(space: gym.Space[Any], values: Any) -> Any:
    return acting(space).decode_action({"action": np.asarray(values)})


# The feature for each space.


@pytest.mark.parametrize(
    ("space", "features"),
    [
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), {"image": Image((64, 64, 3))}),
        (spaces.Box(0, 255, (64, 48, 1), np.uint8), {"image": Image((64, 48, 1))}),
        (spaces.Box(0, 255, (256, 512, 12), np.uint8), {"image": Image((256, 512, 12))}),
        (spaces.Box(-INF, INF, (), np.float64), {"vector": Continuous(())}),
        (spaces.Box(0, 255, (128,), np.uint8), {"vector": Continuous((128,))}),
        (spaces.Box(0, 9, (7, 7, 3), np.int64), {"vector": Continuous((7, 7, 3))}),
        (spaces.Box(0, 9, (4, 4), np.uint8), {"vector": Continuous((4, 4))}),
        (spaces.Box(0, 255, (3, 64, 64), np.uint8), {"image": Image((64, 64, 3))}),
        (spaces.Box(0, 255, (84, 84), np.uint8), {"image": Image((84, 84, 1))}),
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), {"vector": Continuous((7, 7, 3))}),
        (spaces.Box(0, 255, (8, 200, 3), np.uint8), {"image": Image((8, 200, 3))}),
        (spaces.Box(0, 255, (4, 84, 84), np.uint8), {"image": Image((84, 84, 4))}),
        (spaces.Box(0, 255, (84, 84, 12), np.uint8), {"image": Image((84, 84, 12))}),
        (spaces.Box(0, 255, (10, 10, 16), np.uint8), {"image": Image((10, 10, 16))}),
        (spaces.Box(0, 255, (16, 10, 10), np.uint8), {"image": Image((10, 10, 16))}),
        (spaces.Box(0, 255, (4, 96, 80, 3), np.uint8), {"image": Image((96, 80, 12))}),
        (spaces.Box(0, 255, (4, 3, 96, 80), np.uint8), {"image": Image((96, 80, 12))}),
        (spaces.Box(0, 1, (30, 20, 3), np.float64), {"image": Image((30, 20, 3))}),
        (spaces.Box(0, 255, (3, 30, 20), np.float32), {"image": Image((30, 20, 3))}),
        (spaces.Box(-1, 1, (30, 20, 3), np.float32), {"image": Image((30, 20, 3))}),
        (spaces.Box(0, 1, (30, 20), np.float32), {"vector": Continuous((30, 20))}),
        (spaces.Box(0, 10, (64, 64, 1), np.float32), {"image": Image((64, 64, 1))}),
        (spaces.Box(0, 255, (3, 30, 20), np.int32), {"image": Image((30, 20, 3))}),
        (spaces.Box(0, 65535, (30, 20, 1), np.uint16), {"image": Image((30, 20, 1))}),
        (spaces.Box(0, 1, (10, 10, 4), bool), {"image": Image((10, 10, 4))}),
        (spaces.Box(0, 1, (10, 10), np.uint8), {"image": Image((10, 10, 1))}),
        (spaces.Box(0, 65536, (30, 20, 1), np.int32), {"vector": Continuous((30, 20, 1))}),
        (spaces.Box(-INF, INF, (30, 20, 3), np.float32), {"vector": Continuous((30, 20, 3))}),
        (spaces.Box(-1e39, 1e39, (30, 20, 3), np.float64), {"vector": Continuous((30, 20, 3))}),
        (spaces.Box(0, 1, (30, 20, 9), np.float32), {"vector": Continuous((30, 20, 9))}),
        (spaces.Discrete(5, start=-2), {"discrete": Discrete((), 5)}),
        (spaces.MultiDiscrete([2, 7, 3]), {"discrete": Discrete((3,), 7)}),
        (spaces.MultiDiscrete([[2, 4], [3, 3]]), {"discrete": Discrete((2, 2), 4)}),
        (spaces.MultiBinary(4), {"discrete": Discrete((4,), 2)}),
    ],
)
def test_bare_observation(space: gym.Space[Any], features: dict[str, Any]) -> None:
    assert observing(space).observation == features


def test_nested_keys_are_joined_and_sorted() -> None:
    space = spaces.Dict({"robot": spaces.Dict({"legs": FLOAT, "arm": MOVE}), "goal": FLOAT, "a/b": MOVE})
    assert list(observing(space).observation) == ["a/b", "goal", "robot/arm", "robot/legs"]
    assert list(acting(space).action) == ["a/b", "goal", "robot/arm", "robot/legs"]


def test_actions() -> None:
    assert acting(spaces.Box(-2, 5, (2, 3))).action == {"action": Continuous((2, 3))}
    assert acting(spaces.Discrete(4, start=1)).action == {"action": Discrete((), 4)}
    assert acting(spaces.MultiBinary([2, 3])).action == {"action": Discrete((2, 3), 2)}
    assert acting(spaces.MultiDiscrete([3, 3])).action == {"action": Discrete((2,), 3)}
    assert acting(spaces.MultiDiscrete([[2, 5], [3, 1]])).action == {"action": Discrete((2, 2), 5, (2, 5, 3, 1))}


def test_tuples_have_indices_for_keys() -> None:
    space = spaces.Tuple([spaces.Dict({"a": MOVE, "b": spaces.Tuple([FLOAT, MOVE])}), FLOAT])
    assert list(observing(space).observation) == ["0/a", "0/b/0", "0/b/1", "1"]
    action = {"0/a": [1], "0/b/0": [[0, 0]], "0/b/1": [2], "1": [[1, 1]]}
    decoded = acting(space).decode_action({key: np.array(value) for key, value in action.items()})
    assert isinstance(decoded, tuple)
    assert isinstance(decoded[0]["b"], tuple)
    assert (decoded[0]["a"].tolist(), decoded[0]["b"][1].tolist(), decoded[1].tolist()) == ([1], [2], [[1, 1]])


def test_keys_choose_observations() -> None:
    eye = spaces.Dict({"left": FLOAT, "right": FLOAT})
    space = spaces.Dict({"eye": eye, "mission": spaces.Text(9), "eyelid": MOVE, "pair": spaces.Tuple([MOVE, FLOAT])})
    assert choose(space, "eye/.*") == spaces.Dict({"eye": eye})
    chosen = choose(space, "(?!mission$)(?!pair/0).*")
    assert list(observing(chosen).observation) == ["eye/left", "eye/right", "eyelid", "pair/1"]
    sample = space.sample()
    some = restrict(chosen, sample)
    assert chosen.contains(some)
    np.testing.assert_array_equal(some["pair"]["1"], sample["pair"][1])
    # An agent also accepts the whole observation.
    observing(chosen).check_observation(sample)
    assert observing(chosen).is_single(sample)
    with pytest.raises(ValueError, match="lacks 'eye/left'"):
        restrict(chosen, {"eye": {}})
    with pytest.raises(
        UnsupportedSpaceError, match="'ear', which matches no observation; the observations are: eye/left"
    ):
        choose(space, "ear")
    with pytest.raises(ValueError, match="keys must be a regular expression, got"):
        choose(space, "(")
    assert choose(space, ".*") is space
    assert choose(FLOAT, "anything") is FLOAT  # a bare space has no key


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((20, 30, 3), "hwc"), ((3, 20, 30), "chw"), ((20, 30), "hw"), ((4, 20, 30, 3), "fhwc"), ((4, 3, 20, 30), "fchw")],
)
def test_pixels_arrive_where_they_belong(shape: tuple[int, ...], axes: str) -> None:
    space = spaces.Box(0, 255, shape, np.uint8)
    value = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    encoded = observing(space).encode_observation(value)["image"]
    lengths = dict(zip(axes, shape, strict=True)) | {name: 1 for name in "fc" if name not in axes}
    assert encoded.shape == (2, 20, 30, lengths["f"] * lengths["c"])
    for n, h, w, f, c in [
        (0, 0, 0, 0, 0),
        (1, 19, 29, lengths["f"] - 1, lengths["c"] - 1),
        (0, 7, 3, 0, lengths["c"] - 1),
    ]:
        place = {"h": h, "w": w, "f": f, "c": c}
        assert encoded[n, h, w, f * lengths["c"] + c] == value[(n, *(place[axis] for axis in axes))]


def test_float_images_are_rounded_to_256_levels() -> None:
    unit, byte = (observing(spaces.Box(0, high, (8, 8, 1), np.float32)) for high in (1, 255))
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, 0, :4, 0] = [0.6, 1, 1 / 255, 0.499 / 255]
    assert unit.encode_observation(image)["image"][0, 0, :4, 0].tolist() == [153, 255, 1, 0]
    assert byte.encode_observation(255 * image)["image"][0, 0, :4, 0].tolist() == [153, 255, 1, 0]
    with pytest.raises(
        ValueError, match=r"'image' of environment 0 is 2\.\d+ at index \(0, 0, 0\), outside of its space's 0 … 1"
    ):
        unit.encode_observation(image + 2)
    with pytest.raises(ValueError, match="outside of its space"):
        unit.check_observation(image[0] - 1)
    overshot = image * np.float32(1 + 1e-6)  # by rounding
    assert unit.encode_observation(overshot)["image"].max() == 255
    assert byte.encode_observation(np.full((1, 8, 8, 1), 7, np.uint8))["image"].max() == 7


@pytest.mark.parametrize(
    ("space", "values", "levels"),
    [
        (spaces.Box(0, 1, (8, 8), np.uint8), [0, 1], [0, 255]),
        (spaces.Box(0, 5, (8, 8), np.uint8), [0, 1, 5], [0, 51, 255]),
        (spaces.Box(0, 255, (8, 8), np.uint8), [0, 7, 255], [0, 7, 255]),
        (spaces.Box(0, 10, (8, 8, 1), np.float32), [0, 2, 10], [0, 51, 255]),
        (spaces.Box(-1, 1, (8, 8, 1), np.float64), [-1, 0.2, 1], [0, 153, 255]),
        (spaces.Box(0, 65535, (8, 8, 1), np.uint16), [0, 257, 65535], [0, 1, 255]),
        (spaces.Box(-128, 127, (8, 8, 1), np.int8), [-128, -127, 127], [0, 1, 255]),
        (spaces.Box(0, 1, (8, 8, 1), bool), [False, True], [0, 255]),
    ],
)
def test_images_are_scaled_by_the_bounds_of_their_space(space: spaces.Box, values: Any, levels: list[int]) -> None:
    image = np.full((1, *space.shape), values[0], space.dtype)
    image[0, 0, : len(values)] = np.reshape(values, (-1,) + (1,) * (len(space.shape) - 2))
    encoded = observing(space).encode_observation(image)["image"]
    assert encoded.dtype == np.uint8
    assert encoded[0, 0, : len(values), 0].tolist() == levels


def test_each_entry_of_an_image_has_its_own_bounds() -> None:
    high = np.broadcast_to(np.array([1, 4, 1], np.float32), (8, 8, 3))  # the last channel is constant
    low = np.broadcast_to(np.array([0, 0, 1], np.float32), (8, 8, 3))
    encoded = observing(spaces.Box(low, high)).encode_observation((low + 0.6 * (high - low))[None])["image"]
    assert encoded[0, 0, 0].tolist() == [153, 153, 0]


def test_values_outside_of_the_bounds_of_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"environment 0 is 9 at index \(0, 0\), outside of its space's 0 … 7"):
        observing(spaces.Box(0, 7, (8, 8), np.uint8)).encode_observation(np.full((1, 8, 8), 9, np.uint8))


PLANES = spaces.Box(0, 1, (9, 9, 12), np.float32)


def test_keys_override_the_guess() -> None:
    both = spaces.Dict({"planes": PLANES, "camera": spaces.Box(0, 255, (16, 16, 3), np.uint8)})
    guessed = observing(both)
    assert guessed.observation == {"camera": Image((16, 16, 3)), "planes": Continuous((9, 9, 12))}
    chosen = Spaces(both, MOVE, image_keys="pla.*", vector_keys="camera")
    assert chosen.observation == {"camera": Continuous((16, 16, 3)), "planes": Image((9, 9, 12))}
    value = {"planes": np.ones((2, 9, 9, 12), np.float32), "camera": np.full((2, 16, 16, 3), 7, np.uint8)}
    encoded = chosen.encode_observation(value)
    assert (encoded["planes"] == 255).all()
    assert (encoded["camera"] == 7).all()
    assert encoded["camera"].dtype == np.float32
    again = Spaces.from_json(json.loads(json.dumps(chosen.to_json())))
    assert again == chosen != guessed
    assert again.observation == chosen.observation
    assert chosen.select("planes").observation == {"planes": Image((9, 9, 12))}


@pytest.mark.parametrize("name", ["observation", "image", "vector", ".*"])
def test_keys_select_a_bare_observation(name: str) -> None:
    assert Spaces(PLANES, MOVE, image_keys=name).observation == {"image": Image((9, 9, 12))}
    assert Spaces(spaces.Box(0, 255, (9, 9), np.uint8), MOVE, vector_keys=name).observation == {
        "vector": Continuous((9, 9))
    }


def test_keys_cannot_make_an_image_of_everything() -> None:
    for space in (FLOAT, spaces.Box(-INF, INF, (9, 9, 3))):
        with pytest.raises(UnsupportedSpaceError, match="env.image_keys selects it, but images have 2 to 4 axes and f"):
            Spaces(space, MOVE, image_keys=".*")
    with pytest.raises(ValueError, match="env.image_keys must be a regular expression, got"):
        Spaces(PLANES, MOVE, image_keys="(")


def test_observations_that_look_odd_are_mentioned() -> None:
    space = spaces.Dict({"planes": PLANES, "word": spaces.Discrete(5000), "few": spaces.Discrete(4096), "x": FLOAT})
    planes, word = observing(space).cautions()
    assert "'planes' (9x9x12, float32) is read as 972 separate numbers" in planes
    assert "env.image_keys" in planes
    assert "'word' is one-hot coded with 5,000 entries" in word


def usual_images() -> Iterator[spaces.Box]:
    """Depth in metres, maps, heat maps and pictures as wrappers and simulators return them."""
    for shape in ((64, 64), (84, 84, 1), (64, 48, 3), (3, 64, 64), (1, 84, 84), (4, 64, 64), (64, 64, 9)):
        for low, high in ((0, 1), (-1, 1), (0, 10), (0, 255), (-INF, INF)):
            yield spaces.Box(low, high, shape, np.float32)
        yield from (spaces.Box(0, high, shape, np.int32) for high in (1, 10, 255, 2**31 - 1))
        yield from (spaces.Box(0, high, shape, np.uint16) for high in (1, 4095, 65_535))


def test_arrays_that_look_like_images_become_some_or_are_mentioned() -> None:
    kinds = set()
    for space in usual_images():
        found = observing(space)
        (feature,) = found.observation.values()
        assert isinstance(feature, Image) != bool(found.cautions()), space
        kinds.add(type(feature))
        assert Spaces(space, MOVE, vector_keys=".*").cautions() == []
        if np.isfinite(space.high).all():
            (image,) = Spaces(space, MOVE, image_keys=".*").observation.values()
            assert isinstance(image, Image)
    assert kinds == {Image, Continuous}


@pytest.mark.parametrize("space", [spaces.Discrete(200_000), spaces.MultiDiscrete([100_000, 100_000])])
def test_wide_discrete_spaces_are_refused_with_the_number(space: gym.Space[Any]) -> None:
    words = r"its one-hot code would have 200,000 entries.*at most 65,536 are allowed.*MultiDiscrete"
    for wide in (observing, acting):
        with pytest.raises(UnsupportedSpaceError, match=words):
            wide(space)


def test_bounds_of_numbers_do_not_matter_to_an_agent() -> None:
    def spaces_with(high: float, image: int = 255, turn: float = 1.0, count: int = 3) -> Spaces:
        seen = {"x": spaces.Box(-1, high, (2,)), "image": spaces.Box(0, image, (8, 8), np.uint8)}
        return Spaces(spaces.Dict(seen), spaces.Dict({"turn": spaces.Box(-turn, turn), "go": spaces.Discrete(count)}))

    agent = spaces_with(1)
    assert agent.fits(spaces_with(INF))
    assert agent != spaces_with(INF)
    for other in (spaces_with(1, image=7), spaces_with(1, turn=2.0), spaces_with(1, count=4), observing(FLOAT)):
        assert not agent.fits(other)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Text(5), "the observation is Text.*remove it .*or embed it with a wrapper"),
        (spaces.Dict({"mission": spaces.Text(5)}), "observation 'mission' is Text"),
        (spaces.Sequence(MOVE), "supported are Box, Discrete"),
        (spaces.Dict({}), "empty Dict"),
        (spaces.Dict({"a": spaces.Dict({})}), "'a' is an empty Dict"),
        (
            spaces.Dict({"a/b": MOVE, "a": spaces.Dict({"b": MOVE})}),
            "two observation spaces have the key 'a/b'",
        ),
        (spaces.Dict({0: MOVE}), "must be non-empty strings, got 0"),
        (spaces.Box(-1, 1, (0,)), "no entries"),
        (spaces.Tuple([]), "empty Tuple"),
        (spaces.MultiDiscrete([]), "no entries"),
        (spaces.Box(0, 255, (64, 64, 3, 4), np.uint8), "the stack must be the first axis"),
        (spaces.Box(0, 255, (272, 272, 3), np.uint8), "272x272x3.*longer than 256.*ResizeObservation"),
        (
            spaces.Dict({"a": spaces.Text(5), "b": MOVE, "c": spaces.Sequence(MOVE)}),
            "observation 'a' is Text.*; observation 'c' is Sequence",
        ),
    ],
)
def test_unsupported_observation(space: gym.Space[Any], words: str) -> None:
    with pytest.raises(UnsupportedSpaceError, match=words):
        observing(space)


def test_all_unsupported_spaces_are_named_at_once() -> None:
    with pytest.raises(UnsupportedSpaceError, match="the observation is Text.*; the action is Sequence"):
        Spaces(spaces.Text(3), spaces.Sequence(MOVE))


def test_the_older_format_of_multi_binary_loads() -> None:
    move = {"type": "Discrete", "n": 3, "start": 0, "dtype": "int64"}
    saved = {"observation": {"type": "MultiBinary", "shape": [2, 3]}, "action": move}
    assert Spaces.from_json(saved).observation_space == spaces.MultiBinary([2, 3])


@pytest.mark.parametrize("space", [spaces.Sequence(MOVE), spaces.Text(3)])
def test_unsupported_action(space: gym.Space[Any]) -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"the action is .*Box, Discrete, .*Dicts and Tuples"):
        acting(space)


# Observations.


def test_encode_observation() -> None:
    space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (48, 48, 3), np.uint8),
            "body": spaces.Dict({"height": spaces.Box(-INF, INF, (), np.float64)}),
            "cards": spaces.MultiDiscrete([3, 5], start=[1, -2]),
            "buttons": spaces.MultiBinary(2),
        }
    )
    camera = np.full((2, 48, 48, 3), 7, np.uint8)
    encoded = observing(space).encode_observation(
        {
            "camera": camera,
            "body": {"height": np.array([1.5, -2])},
            "cards": np.array([[1, -2], [3, 2]]),
            "buttons": np.array([[0, 1], [1, 1]], np.int8),
        }
    )
    assert {key: value.dtype for key, value in encoded.items()} == {
        "body/height": np.float32,
        "buttons": np.int32,
        "camera": np.uint8,
        "cards": np.int32,
    }
    np.testing.assert_array_equal(encoded["body/height"], [1.5, -2])
    np.testing.assert_array_equal(encoded["cards"], [[0, 0], [2, 4]])
    np.testing.assert_array_equal(encoded["buttons"], [[0, 1], [1, 1]])
    camera[:] = 0  # reusing the environment's buffer must not matter
    assert (encoded["camera"] == 7).all()


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (FLOAT, np.zeros(2), r"'vector' has shape \(2,\), expected \(N, 2\)"),
        (FLOAT, [[0, 0], [0, np.nan]], r"'vector' of environment 1 is nan at index \(1,\).*finite"),
        (FLOAT, [[INF, 0]], "is inf"),
        (FLOAT, [[1e39, 0]], r"is 1e\+39"),
        (FLOAT, [["a", "b"]], "expected numbers"),
        (MOVE, [0, 3], r"'discrete' of environment 1 is 3, outside of its space Discrete\(3\)"),
        (MOVE, [0.5], "expected integers"),
        (spaces.MultiDiscrete([2, 5]), [[2, 2]], r"environment 0 is 2 at index \(0,\)"),
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3)), "float64, but its space is uint8"),
        (spaces.Dict({"a": spaces.Dict({"b": MOVE})}), {"a": {}}, "lacks 'a/b'"),
        (spaces.Dict({"a": MOVE, "b": MOVE}), {"a": [1], "b": [1, 1]}, "differ in their number of rows"),
    ],
)
def test_bad_observation(space: gym.Space[Any], value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        observing(space).encode_observation(value)


def test_check_observation() -> None:
    image = observing(spaces.Box(0, 255, (64, 64, 3), np.uint8))
    image.check_observation(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"shape \(1, 64, 3\), but its space has \(64, 64, 3\)"):
        image.check_observation(np.zeros((1, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="float32, but its space is uint8"):
        image.check_observation(np.zeros((64, 64, 3), np.float32))
    observing(MOVE).check_observation(2)
    observing(FLOAT).check_observation([0, 1])  # integers become float32 without harm


# Masks.


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.MultiBinary(3), np.int8([1, 0, 1])),
        (spaces.MultiDiscrete([2, 2, 2]), np.array([1, 0, 1])),
        (spaces.Box(0, 1, (3,), np.int8), np.int8([1, 0, 1])),
        (spaces.Box(0, 1, (3,), bool), np.array([True, False, True])),
        (spaces.Box(0, 1, (3,), np.float32), np.float32([1, 0, 1])),
    ],
)
def test_a_binary_observation_called_action_mask_masks_the_action(space: gym.Space[Any], value: Any) -> None:
    ours = Spaces(spaces.Dict({"observation": FLOAT, "action_mask": space}), spaces.Discrete(3, start=7))
    assert ours.mask == "action_mask"
    assert ours.observation == {"observation": Continuous((2,)), "action_mask": Discrete((3,), 2)}
    assert ours.action == {"action": Discrete((), 3, mask="action_mask")}
    seen = {"observation": np.zeros(2, np.float32), "action_mask": value}
    ours.check_observation(seen)
    encoded = ours.encode_observation({key: x[None] for key, x in seen.items()})["action_mask"]
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [[1, 0, 1]]
    assert Spaces.from_json(json.loads(json.dumps(ours.to_json()))) == ours
    assert ours.select("observation").mask == "action_mask"
    assert ours.select("observation").observation == ours.observation
    assert ours.cautions() == []


def test_a_mask_has_only_zeros_and_ones() -> None:
    ours = Spaces(spaces.Dict({"action_mask": spaces.Box(0, 1, (3,), np.float32), "x": FLOAT}), MOVE)
    for wrong in (0.5, np.nan, 2):
        with pytest.raises(ValueError, match="'action_mask' of environment 0 is .* at index .*, expected 0 or 1"):
            ours.encode_observation({"x": np.zeros((1, 2)), "action_mask": np.array([[0, wrong, 1]])})


@pytest.mark.parametrize(
    "space", [spaces.MultiBinary(4), spaces.MultiBinary([3, 1]), FLOAT, spaces.Box(0, 2, (3,)), spaces.Discrete(3)]
)
def test_a_mask_that_does_not_fit_the_action_is_refused(space: gym.Space[Any]) -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"has 3 entries that are 0 or 1: make it MultiBinary\(3\), rename"):
        Spaces(spaces.Dict({"action_mask": space, "x": FLOAT}), MOVE)


@pytest.mark.parametrize("action", [spaces.MultiDiscrete([3, 3]), FLOAT, spaces.Dict({"move": MOVE, "force": FLOAT})])
def test_a_mask_next_to_other_actions_is_an_ordinary_observation(action: gym.Space[Any]) -> None:
    ours = Spaces(spaces.Dict({"action_mask": spaces.Box(0, 1, (3,)), "x": FLOAT}), action)
    assert ours.mask is None
    assert ours.observation["action_mask"] == Continuous((3,))
    (sentence,) = ours.cautions()
    assert "masks no action, because the action space is" in sentence


def test_keys_that_leave_the_mask_out_turn_it_off() -> None:
    space = spaces.Dict({"action_mask": spaces.MultiBinary(3), "x": FLOAT})
    assert Spaces(choose(space, "x"), MOVE).mask is None


# Actions. Expected values computed by hand: [-1, 1] onto [low, high] is low + (a + 1) / 2 · (high - low).


def test_bounds_are_mapped_linearly_and_clipped() -> None:
    space = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))
    actions = decode(space, [[0, 0], [0.5, -0.5], [1, -1], [3, -7]])
    np.testing.assert_array_equal(actions, [[0, 5], [1, 2.5], [2, 0], [2, 0]])
    assert actions.dtype == np.float32


def test_infinite_bounds_pass_unscaled() -> None:
    low, high = np.array([-INF, -INF, 0.5, -4]), np.array([INF, 0.25, INF, 4])
    space = spaces.Box(low, high, dtype=np.float64)
    np.testing.assert_array_equal(
        decode(space, [[2.5, 2.5, 2.5, 2.5], [-3, -3, -3, -0.5]]), [[2.5, 0.25, 2.5, 4], [-3, -3, 0.5, -2]]
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_float_stands_for_infinity(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    np.testing.assert_array_equal(decode(spaces.Box(-largest, largest, (1,), dtype), [[0.5]]), [[0.5]])


def test_integer_bounds_are_rounded() -> None:
    actions = decode(spaces.Box(0, 10, (1,), np.int32), [[-1], [0], [0.5], [9]])
    np.testing.assert_array_equal(actions, [[0], [5], [8], [10]])  # 7.5 rounds to the even neighbor
    assert actions.dtype == np.int32
    limits = np.iinfo(np.int64)
    whole = decode(spaces.Box(limits.min, limits.max - 1, (1,), np.int64), [[-1], [1]])
    assert whole.tolist() == [[limits.min], [limits.max - 1]]


def test_discrete_action_adds_the_start() -> None:
    actions = decode(spaces.Discrete(3, start=-1, dtype=np.int16), [0, 1, 2])
    assert actions.tolist() == [-1, 0, 1]
    assert actions.dtype == np.int16


def test_decode_keeps_the_structure() -> None:
    space = spaces.Dict({"hand": spaces.Dict({"grip": MOVE, "turn": FLOAT}), "move": MOVE})
    action = {"hand/grip": np.array([2]), "hand/turn": np.zeros((1, 2)), "move": np.array([1])}
    decoded = acting(space).decode_action(action)
    assert decoded["hand"]["grip"].tolist() == [2]
    assert decoded["hand"]["turn"].tolist() == [[0, 0]]
    assert decoded["move"].tolist() == [1]


@pytest.mark.parametrize(
    ("space", "action", "words"),
    [
        (FLOAT, {"action": [[np.nan, 0]]}, "'action' of environment 0 is nan.*has the policy diverged"),
        (FLOAT, {"action": [0, 0]}, r"expected \(N, 2\)"),
        (MOVE, {"action": [3]}, "outside of its classes 0 … 2"),
        (MOVE, {"action": [-1]}, "is -1, outside"),
        (MOVE, {"action": [0.0]}, "expected integers"),
        (MOVE, {"move": [0]}, r"has the keys \['move'\], expected \['action'\]"),
        (spaces.Dict({"a": MOVE, "b": MOVE}), {"a": [1], "b": [1, 1]}, "differ in their number of rows"),
    ],
)
def test_bad_action(space: gym.Space[Any], action: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        acting(space).decode_action(action)


# Every supported space.

DTYPES_OF_BOXES = [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64, bool]


@st.composite
def boxes(draw: st.DrawFn) -> spaces.Box:
    """Any shape up to rank 2, any type, each bound finite or not."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES_OF_BOXES)))
    shape = tuple(draw(st.lists(st.integers(1, 2), max_size=2)))
    bottom = {"u": 0, "b": 0}.get(dtype.kind, -100)
    top = 1 if dtype.kind == "b" else 100
    number = st.floats(bottom, top, width=16) if dtype.kind == "f" else st.integers(bottom, top)
    bottomless = st.booleans() if dtype.kind in "fi" else st.just(False)
    # Gymnasium cannot create an int64 space that is unbounded above in some entries only.
    topless = st.just(False) if dtype == np.int64 else bottomless
    low, high = np.empty(shape), np.empty(shape)
    for index in np.ndindex(shape):
        ends = sorted([draw(number) + 0, draw(number) + 0])  # no -0.0
        low[index] = -INF if draw(bottomless) else ends[0]
        high[index] = INF if draw(topless) else ends[1]
    if dtype.kind == "f":
        low, high = low.astype(dtype), high.astype(dtype)
    return spaces.Box(low, high, dtype=dtype.type)


NAMES = st.text("abc", min_size=1, max_size=2)
DISCRETES = st.builds(
    spaces.Discrete, st.integers(1, 9), start=st.integers(-9, 9), dtype=st.sampled_from([np.int8, np.int64])
)
MULTI_DISCRETES = st.lists(st.tuples(st.integers(1, 9), st.integers(-9, 9)), min_size=1, max_size=3).map(
    lambda pairs: spaces.MultiDiscrete([n for n, _ in pairs], start=[start for _, start in pairs])
)
MULTI_BINARIES = (st.integers(1, 4) | st.lists(st.integers(1, 3), min_size=1, max_size=2)).map(spaces.MultiBinary)
IMAGES = st.builds(
    lambda shape, kind: spaces.Box(0, kind[0], shape, kind[1]),
    st.tuples(st.integers(8, 70), st.integers(8, 70), st.integers(1, 4))
    | st.tuples(st.integers(1, 4), st.integers(8, 70), st.integers(8, 70))
    | st.tuples(st.integers(2, 3), st.integers(8, 40), st.integers(8, 40), st.integers(1, 4)),
    st.sampled_from([(255, np.uint8), (1, np.float32), (255, np.float64)]),
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A space, or Dicts and Tuples of spaces."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(spaces.Dict)
            | st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple)
        ),
        max_leaves=4,
    )


OBSERVATIONS = nested(boxes() | DISCRETES | MULTI_DISCRETES | MULTI_BINARIES | IMAGES)
ACTIONS = nested(boxes() | DISCRETES | MULTI_DISCRETES | MULTI_BINARIES)


def assert_same_space(one: Any, other: Any) -> None:
    """Compare exactly; Gymnasium's own comparison has a tolerance and ignores bounded_…."""
    assert one == other
    assert type(one) is type(other)
    if isinstance(one, spaces.Dict):
        for name, child in one.spaces.items():
            assert_same_space(child, other[name])
        return
    if isinstance(one, spaces.Tuple):
        for child, theirs in zip(one.spaces, other.spaces, strict=True):
            assert_same_space(child, theirs)
        return
    assert one.dtype == other.dtype
    for name in ("low", "high", "bounded_below", "bounded_above", "nvec", "start", "n"):
        np.testing.assert_array_equal(getattr(one, name, 0), getattr(other, name, 0))


@settings(max_examples=60, deadline=None)
@given(observation=OBSERVATIONS, action=ACTIONS)
def test_json_round_trip(observation: Any, action: Any) -> None:
    before = Spaces(observation, action)
    after = Spaces.from_json(json.loads(json.dumps(before.to_json(), allow_nan=False)))
    assert_same_space(after.observation_space, observation)
    assert_same_space(after.action_space, action)
    assert after == before
    assert (after.observation, after.action) == (before.observation, before.action)


@pytest.mark.filterwarnings("ignore:.*Casting input")  # Gymnasium's, of a row that is a scalar
@settings(max_examples=60, deadline=None)
@given(space=ACTIONS, seed=st.integers(0, 99), spread=st.sampled_from([0.5, 3, 1e4]))
def test_every_decoded_action_is_in_the_space(space: Any, seed: int, spread: float) -> None:
    translation, random, n = acting(space), np.random.default_rng(seed), 3
    action = {
        key: random.integers(
            np.reshape(feature.counts or feature.classes, feature.shape if feature.counts else ()),
            size=(n, *feature.shape),
        )
        if isinstance(feature, Discrete)
        else random.normal(0, spread, (n, *feature.shape)).astype(np.float32)
        for key, feature in translation.action.items()
    }
    decoded = translation.decode_action(action)
    for row in gym.vector.utils.iterate(batch_space(space, n), decoded):
        assert space.contains(row)


@settings(max_examples=60, deadline=None)
@given(space=OBSERVATIONS, seed=st.integers(0, 99))
def test_every_observation_can_be_encoded(space: Any, seed: int) -> None:
    translation, n = observing(space), 3
    space.seed(seed)
    samples = [space.sample() for _ in range(n)]
    for sample in samples:
        translation.check_observation(sample)
    batch = gym.vector.utils.create_empty_array(space, n)
    encoded = translation.encode_observation(gym.vector.utils.concatenate(space, samples, batch))
    assert list(encoded) == list(translation.observation) == sorted(encoded)
    for key, feature in translation.observation.items():
        assert encoded[key].shape == (n, *feature.shape)
        assert encoded[key].dtype == DTYPES[type(feature)]
        if isinstance(feature, Discrete):
            assert ((encoded[key] >= 0) & (encoded[key] < feature.classes)).all()
    # The way back leads into the space, and to the same features.
    decoded = translation.decode_observation(encoded)
    for row in gym.vector.utils.iterate(batch_space(space, n), decoded):
        assert space.contains(row)
    again = translation.encode_observation(decoded)
    for key, value in encoded.items():
        np.testing.assert_allclose(again[key], value, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*Casting input")  # Gymnasium's, of a row that is a scalar
@settings(max_examples=60, deadline=None)
@given(space=ACTIONS, seed=st.integers(0, 99))
def test_every_action_survives_the_way_to_the_policy_and_back(space: Any, seed: int) -> None:
    translation, n = acting(space), 3
    space.seed(seed)
    actions = gym.vector.utils.concatenate(
        space, [space.sample() for _ in range(n)], gym.vector.utils.create_empty_array(space, n)
    )
    again = translation.decode_action(translation.encode_action(actions))
    for one, other in zip(jax.tree.leaves(actions), jax.tree.leaves(again), strict=True):
        scale = max(1, float(np.abs(np.asarray(one, np.float64)).max(initial=0)))
        np.testing.assert_allclose(np.asarray(other, np.float64), one, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("high", [INF, 3, 2**62 + 1])
def test_json_round_trip_of_wide_integers(high: float) -> None:
    space = spaces.Box(-INF, high, (2,), np.int64)  # type: ignore[call-overload]
    assert_same_space(Spaces.from_json(json.loads(json.dumps(acting(space).to_json()))).action_space, space)


def test_zeros() -> None:
    space = spaces.Dict({"force": spaces.Box(-1, 1, (2,)), "move": spaces.Discrete(4, start=3)})
    translation = Spaces(spaces.Box(0, 255, (64, 64, 3), np.uint8), space)
    action, observation = translation.zero_action(5), translation.zero_observation(5)
    assert {key: (value.shape, value.dtype) for key, value in action.items()} == {
        "force": ((5, 2), np.float32),
        "move": ((5,), np.int32),
    }
    assert observation["image"].shape == (5, 64, 64, 3)
    assert observation["image"].dtype == np.uint8
    assert translation.decode_action(action)["move"].tolist() == [3] * 5


# Saved spaces.


def test_uniform_bounds_are_saved_as_one_number() -> None:
    saved = Spaces(spaces.Box(-INF, INF, (100,)), spaces.Box(-0.1, 0.1, (2, 3))).to_json()
    assert saved["observation"] == {
        "type": "Box",
        "low": "-inf",
        "high": "inf",
        "shape": [100],
        "dtype": "float32",
    }
    assert saved["action"]["low"] == float(np.float32(-0.1))


BOX = {"type": "Box", "low": 0, "high": 1, "shape": [2], "dtype": "float32"}


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"type": "Text"},
        {"type": "Dict", "spaces": []},
        {"type": "Dict", "spaces": {"a": {"type": "Graph"}}},
        {**BOX, "extra": 1},
        {**BOX, "low": "nan"},
        {**BOX, "low": float("nan")},
        {**BOX, "low": None},
        {**BOX, "low": [0, 0, 0]},
        {**BOX, "low": 2},
        {**BOX, "shape": [2.5]},
        {**BOX, "shape": [-1]},
        {**BOX, "shape": 2},
        {**BOX, "dtype": "float33"},
        {**BOX, "dtype": "int8", "high": 0.5},
        {**BOX, "dtype": "uint8", "high": 300},
        {**BOX, "dtype": "complex64"},
        {"type": "Discrete", "n": 0, "start": 0, "dtype": "int64"},
        {"type": "Discrete", "n": "3", "start": 0, "dtype": "int64"},
        {"type": "Discrete", "n": True, "start": 0, "dtype": "int64"},
        {"type": "Discrete", "n": 3, "start": 0, "dtype": "float32"},
        {"type": "MultiDiscrete", "nvec": [2.5], "start": [0], "dtype": "int64"},
        {"type": "MultiDiscrete", "nvec": [2], "start": [0, 0], "dtype": "int64"},
        {"type": "MultiBinary", "n": [0]},
        {"type": "MultiBinary", "n": "4"},
        {"type": "Tuple", "spaces": {}},
        {"type": "Tuple", "spaces": [{"type": "Graph"}]},
    ],
)
def test_broken_json(broken: Any) -> None:
    action = {"type": "Discrete", "n": 3, "start": 0, "dtype": "int64"}
    with pytest.raises(ValueError, match="space"):
        Spaces.from_json({"observation": broken, "action": action})
    with pytest.raises(ValueError, match="'observation' and 'action'"):
        Spaces.from_json({"observation": action})


def test_from_env() -> None:
    env = gym.make("CartPole-v1")
    assert Spaces.from_env(env) == Spaces(env.observation_space, env.action_space)
    assert Spaces.from_env(env).observation == {"vector": Continuous((4,))}
    env.close()
