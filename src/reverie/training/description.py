"""What a run will be, before it starts: spaces, networks, replay and pace, and what deserves a warning.

May import: everything below `training`, and of it `display`, `memory` and `records`.
"""

import os
import shutil

import jax
from rich.table import Table

from reverie.agent import Agent
from reverie.config import Config, RunConfig
from reverie.devices import caution, precision
from reverie.envs.suites import suite_of
from reverie.learner import compute_dtype
from reverie.presets import SUITES
from reverie.replay import Replay
from reverie.spaces import Continuous, Discrete, Feature, Image, masks
from reverie.text import counted
from reverie.training.display import grid
from reverie.training.memory import in_units
from reverie.training.records import prefill, records_to_write
from reverie.world_model import WorldModel
from reverie.world_model.canvas import canvas_size
from reverie.world_model.inputs import image_features


def describe(agent: Agent, env: str, replay: Replay) -> Table:
    """A table of what the run understood: spaces and keys, model, device, memory and pace."""
    config, spaces = agent.config, agent.spaces
    table = grid([])
    table.title, table.title_justify = f"Reverie · {env}", "left"
    paths = _paths(agent.world_model)
    for key, feature in spaces.observation.items():
        table.add_row("observes", f"{key}: {_feature(feature)} → {paths.get(key, 'neither encoded nor predicted')}")
    for key, feature in spaces.action.items():
        head = "categorical" if isinstance(feature, Discrete) else "bounded normal"
        table.add_row("acts", f"{key}: {_feature(feature)} → {head}")
    table.add_row("model", _model(agent))
    table.add_row("device", _device(config))
    table.add_row("replay", _replay(config, replay))
    table.add_row("pace", _pace(config))
    if (repeat := config.env.action_repeat) > 1:
        table.add_row(
            "counts",
            f"an environment step repeats its action {repeat} times; published curves count {repeat} frames per step",
        )
    if paper := SUITES.get(suite_of(env) or ""):
        budget = f"{paper.steps:,} steps" if paper.steps else "a number of steps that depends on the task"
        environments = counted(paper.envs, "environment")
        table.add_row("the paper", f"{paper.size}, train ratio {paper.train_ratio:g}, {environments}, {budget}")
    return table


def cautions(agent: Agent) -> list[str]:
    """Warnings about settings, so that nobody waits for a run that can't be what they want."""
    found, config = [], agent.config
    if jax.default_backend() == "cpu" and (shutil.which("nvidia-smi") or os.path.exists("/proc/driver/nvidia")):
        found.append(
            'this machine has a GPU, but JAX runs on the CPU; install JAX for GPUs with: pip install "reverie[gpu]"'
        )
    if old := caution(config.model.compute_dtype, jax.devices()[0]):
        found.append(old)
    if unused := [key for key in agent.spaces.observation if key not in _paths(agent.world_model)]:
        found.append(
            f"replay stores observations that are neither encoded nor predicted: {', '.join(unused)}; "
            "leave them out with env.keys."
        )
    found += agent.spaces.cautions()
    if config.env.mode == "offline":
        return found
    ratio, usual = config.run.train_ratio, RunConfig().train_ratio
    if not usual / 16 <= ratio <= usual * 4:  # the paper's range from 32 to 1024
        effect = "rarely, which wastes data" if ratio < usual else "very often, which is slow and may overfit"
        found.append(f"a train ratio of {ratio:g} is far from the usual {usual:g}: it updates {effect}.")
    if ratio and config.run.steps < prefill(config):
        found.append(
            f"nothing will be learned: updates begin after about {prefill(config):,} steps, which fill a first batch "
            f"of {config.replay.batch} × {config.replay.length}, but the run ends after {config.run.steps:,}. "
            "Raise run.steps, or lower replay.batch or replay.length."
        )
    return found


def _device(config: Config) -> str:
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform}), {precision(compute_dtype(config.model).name, device)}"


def _model(agent: Agent) -> str:
    model = agent.config.model
    return (
        f"{agent.networks.parameter_count:,} parameters (deter {model.deter}, {model.groups}×{model.classes} classes, "
        f"units {model.units})"
    )


def _replay(config: Config, replay: Replay) -> str:
    where = {"memory": "in memory", "disk": "on disk", "device": "on the device"}[config.replay.home]
    steps = records_to_write(config)
    grows = f"{in_units(min(steps, replay.capacity) * replay.nbytes_per_record)} for {steps:,} steps, at most "
    if config.replay.home == "device" or not steps:
        grows = ""  # all of it is allocated at once, or as much as the dataset needs
    return (
        f"{where}, {replay.nbytes_per_record:,} bytes per step: {grows}"
        f"{in_units(replay.nbytes_full)} at its capacity of {replay.capacity:,}"
    )


def _pace(config: Config) -> str:
    if config.env.mode == "offline":
        return f"offline: each step is one update of {config.replay.batch} × {config.replay.length} recorded steps"
    pace = config.run.train_ratio / (config.replay.batch * config.replay.length)
    if pace >= 1:
        each = f"{pace:.3g} updates per env step"
    else:
        each = f"an update every {1 / pace:.3g} env steps" if pace else "no updates"
    together = ", stepped independently: runs are not repeatable" if config.env.mode == "async" else ""
    return (
        f"train ratio {config.run.train_ratio:g}: {each} of {config.replay.batch} × {config.replay.length} steps, "
        f"{counted(config.env.envs, 'environment')}{together}"
    )


def _paths(model: WorldModel) -> dict[str, str]:
    """How each observation is encoded, and whether it is predicted where that differs between encoder and decoder."""
    encoded, predicted = dict(model.encoder.features), dict(model.decoder.features)
    images = image_features(encoded)
    canvas = canvas_size(feature.shape for feature in images.values()) if images else (0, 0)
    paths = dict.fromkeys(predicted, "predicted, not encoded")
    for key, feature in encoded.items():
        paths[key] = "vector trunk"
        if isinstance(feature, Image):
            paths[key] = "convolutions" if feature.shape[:2] == canvas else f"convolutions, on {canvas[0]}×{canvas[1]}"
        if key not in predicted:
            paths[key] += "; not predicted"
    for action, key in masks(dict(model.actions)).items():
        paths[key] += f"; masks the {action}"
    return paths


def _feature(feature: Feature) -> str:
    shape = "×".join(map(str, feature.shape)) or "1"
    match feature:
        case Image():
            return f"{shape} image"
        case Continuous():
            return f"{shape} number{'s' if shape != '1' else ''}"
        case Discrete():
            classes = f"{min(feature.counts)} to {feature.classes}" if feature.counts else feature.classes
            return f"{shape if shape != '1' else 'one'} of {classes} classes"
