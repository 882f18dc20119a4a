"""Dreams as JSON, for the page. May import: `dreams`, `spaces`, `text`; NumPy.

An image is base64 of its bytes: rows of pixels with one or three channels, the newest of stacked frames. A number that
is not finite is null.
"""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from reverie.dreams import Dream, Dreamer, Moment, State
from reverie.spaces import Continuous, Discrete, Feature, Image, Spaces
from reverie.text import printable

MOST = 256  # entries of an observation that are shown


def opened(run: str, dreamer: Dreamer) -> dict[str, Any]:
    """What a dream can start from and how it is steered."""
    spaces = dreamer.agent.spaces
    features = shown(dreamer)
    return {
        "type": "opened",
        "run": run,
        "env_steps": dreamer.env_steps,
        "damaged": [printable(problem) for problem in dreamer.damaged],
        "observations": {name: _kind(feature) for name, feature in features.items()},
        "actions": {name: _kind(feature) | _bounds(spaces, name) for name, feature in spaces.action.items()},
        "moments": [
            _moment(moment) | {"observation": observation(features, _at(moment.records.observation, moment.start))}
            for moment in dreamer.moments
        ],
    }


def _moment(moment: Moment) -> dict[str, Any]:
    """A moment's place in its episode: the steps and the return before it, in the `whole` episode or the excerpt."""
    records, start = moment.records, moment.start
    return {
        "known": moment.known,
        "time": start,
        "return": number(float(np.sum(records.reward[1 : start + 1]))),
        "whole": bool(records.is_first[0]),
    }


def shown(dreamer: Dreamer) -> dict[str, Feature]:
    """The observations that the world model predicts."""
    predicted = dict(dreamer.agent.world_model.decoder.features)
    return {name: feature for name, feature in dreamer.agent.spaces.observation.items() if name in predicted}


def present(features: Mapping[str, Feature], dream: Dream) -> dict[str, Any]:
    """The current state of a dream, and its recorded counterpart where that is known."""
    state, recorded = dream.state, dream.recorded_action
    return {
        "type": "state",
        "now": dream.now,
        "size": len(dream.states),
        "next": _actions(state.scene.action),
        "recorded": None if recorded is None else _actions(recorded),
        "truth": _truth(features, dream),
        **_state(features, state),
    }


def _state(features: Mapping[str, Feature], state: State) -> dict[str, Any]:
    scene = state.scene
    return {
        "parent": state.parent,
        "time": state.time,
        "action": None if state.action is None else _actions(state.action),
        "observation": observation(features, scene.observation),
        **{name: number(float(getattr(scene, name))) for name in ("reward", "cont", "value")},
        "policy": {
            name: {part: numbers(values) for part, values in parts.items()} for name, parts in scene.policy.items()
        },
    }


def _truth(features: Mapping[str, Feature], dream: Dream) -> dict[str, Any] | None:
    truth = dream.truth
    if truth is None:
        return None
    return {
        "observation": observation(features, truth.observation),
        "reward": number(truth.reward),
        "ended": truth.ended,
        "error": {name: number(error) for name, error in truth.error.items()},
    }


def observation(features: Mapping[str, Feature], values: Mapping[str, Any]) -> dict[str, Any]:
    """By key, an image or numbers."""
    return {
        name: _image(values[name]) if isinstance(feature, Image) else numbers(np.asarray(values[name]).ravel()[:MOST])
        for name, feature in features.items()
    }


def numbers(values: Any) -> list[float | None]:
    """All entries, flattened."""
    return [number(x) for x in np.asarray(values).ravel().tolist()]


def number(x: float) -> float | None:
    """A number with six digits, which is more than the page shows."""
    return float(f"{x:.6g}") if math.isfinite(x) else None


def _image(pixels: Any) -> dict[str, Any]:
    pixels = np.asarray(pixels)
    channels = 3 if pixels.shape[-1] % 3 == 0 else 1
    newest = np.ascontiguousarray(pixels[..., -channels:])
    height, width, _ = newest.shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "pixels": base64.b64encode(newest.tobytes()).decode("ascii"),
    }


def _actions(action: Mapping[str, Any]) -> dict[str, Any]:
    """Actions as the model takes them, in their own shape."""
    return {name: np.asarray(value).tolist() for name, value in action.items()}


def _kind(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, Image):
        return {"kind": "image", "shape": list(feature.shape)}
    if isinstance(feature, Discrete):
        return {"kind": "classes", "shape": list(feature.shape), "classes": feature.classes, "counts": feature.counts}
    return {"kind": "numbers", "shape": list(feature.shape)}


def _bounds(spaces: Spaces, name: str) -> dict[str, Any]:
    """What -1 and 1 mean to the environment, for each number of an action."""
    if not isinstance(spaces.action[name], Continuous):
        return {}
    return {end: numbers(_in_env_units(spaces, name, unit)) for end, unit in (("low", -1.0), ("high", 1.0))}


def _in_env_units(spaces: Spaces, name: str, unit: float) -> Any:
    """What the environment receives under a key whose numbers are all `unit`."""
    action = spaces.zero_action(1)
    decoded = spaces.decode_action(action | {name: np.full_like(action[name], unit)})
    return spaces.action_leaves[name].pick(decoded)[0]


def _at(values: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {name: x[index] for name, x in values.items()}
