"""What a run shows on the terminal: what it understood, and how it goes. May import: nothing above `agent`."""

import os
import shutil
from collections.abc import Iterable, Mapping

import jax
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reverie.agent import Agent
from reverie.config import RunConfig
from reverie.envs.suites import suite_of
from reverie.learner import compute_dtype
from reverie.presets import SUITES
from reverie.replay import Replay
from reverie.spaces import Continuous, Discrete, Feature, Image
from reverie.training.memory import in_units
from reverie.world_model.canvas import canvas_size


class Display:
    """On a terminal a few live lines below what is printed; elsewhere one line per report."""

    def __init__(self, steps: int, *, quiet: bool = False, live: bool = True):
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=not os.isatty(1))
        self._steps = steps
        self._live: Live | None = None
        self._speed = self._shares = "too short to say"
        if self.console.is_terminal and live and not quiet:
            self._live = Live(Text("Compiling …"), console=self.console, auto_refresh=False)
            self._live.start(refresh=True)

    def note(self, text: str | Table) -> None:
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        self.console.print("[yellow]Warning:[/]", escape(text))

    def update(self, step: int, values: Mapping[str, float], returns: list[float]) -> None:
        """The newest numbers: rates, time left, recent returns and where the time goes."""
        progress = f"step {step:,} of {self._steps:,}"
        if "rate/env_steps" in values:  # all but the last time
            rate = values["rate/env_steps"]
            left = f"{_duration(max(0, self._steps - step) / rate)} left" if rate else "no step yet"
            progress += f" ({left})"
            self._speed = f"{rate:.1f} steps/s, {values['rate/updates']:.2f} updates/s"
            shares = {name[5:]: share for name, share in values.items() if name.startswith("time/")}
            self._shares = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        progress += f", {values['updates']:,.0f} updates"
        recent = f"return {sum(returns) / len(returns):.1f} (last {len(returns)})" if returns else "no episode yet"
        loss = f", loss {values['opt/loss']:.3g}" if "opt/loss" in values else ""
        if values.get("opt/skipped"):
            loss += f", {values['opt/skipped']:.0f} updates skipped (not finite)"
        if self._live is None:
            self.console.print(f"{progress} · {recent}{loss} · {self._speed} · {self._shares}")
            return
        bar = ProgressBar(total=self._steps, completed=step, width=40)
        rows: dict[str, RenderableType] = {"progress": progress, "": bar, "learning": recent + loss}
        rows |= {"speed": self._speed, "time": self._shares}
        self._live.update(_grid(rows.items()), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def _grid(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def describe(agent: Agent, env: str, replay: Replay, steps: int) -> Table:
    """What the run understood: spaces, keys, model, device, memory, pace."""
    config, spaces = agent.config, agent.spaces
    table = _grid([])
    table.title, table.title_justify = f"Reverie · {env}", "left"
    images = {key: feature.shape for key, feature in spaces.observation.items() if isinstance(feature, Image)}
    canvas = canvas_size(images.values()) if images else (0, 0)
    for key, feature in spaces.observation.items():
        way = "vector trunk"
        if isinstance(feature, Image):
            way = "convolutions" if feature.shape[:2] == canvas else f"convolutions, on {canvas[0]}×{canvas[1]}"
        table.add_row("observes", f"{key}: {_feature(feature)} → {way}")
    for key, feature in spaces.action.items():
        head = "categorical" if isinstance(feature, Discrete) else "bounded normal"
        table.add_row("acts", f"{key}: {_feature(feature)} → {head}")
    model = config.model
    table.add_row(
        "model",
        f"{agent.networks.parameter_count:,} parameters (deter {model.deter}, {model.groups}×{model.classes} classes, "
        f"units {model.units})",
    )
    table.add_row("device", f"{jax.devices()[0].device_kind} ({jax.default_backend()}), {compute_dtype(model)}")
    where = {"memory": "in memory", "disk": "on disk", "device": "on the device"}[config.replay.home]
    grows = f"{in_units(min(steps, replay.capacity) * replay.nbytes_per_record)} for {steps:,} steps, at most "
    if config.replay.home == "device":
        grows = ""
    table.add_row(
        "replay",
        f"{where}, {replay.nbytes_per_record:,} bytes per step: {grows}"
        f"{in_units(replay.nbytes_full)} at its capacity of {replay.capacity:,}",
    )
    batch = config.replay.batch * config.replay.length
    pace = config.run.train_ratio / batch
    each = (
        f"{pace:.3g} updates per env step"
        if pace >= 1
        else f"an update every {1 / pace:.3g} env steps"
        if pace
        else "no updates"
    )
    table.add_row(
        "pace",
        f"train ratio {config.run.train_ratio:g}: {each} of {config.replay.batch} × {config.replay.length} steps, "
        f"{config.env.envs} environments",
    )
    if paper := SUITES.get(suite_of(env) or ""):
        budget = f"{paper.steps:,} steps" if paper.steps else "steps by task"
        table.add_row(
            "the paper", f"{paper.size}, train ratio {paper.train_ratio:g}, {paper.envs} environments, {budget}"
        )
    return table


def cautions(agent: Agent) -> list[str]:
    """What a user should know before waiting for a run."""
    found = []
    if jax.default_backend() == "cpu" and (shutil.which("nvidia-smi") or os.path.exists("/proc/driver/nvidia")):
        found.append(
            'this runs on the CPU although there is a GPU; install JAX for it with pip install "reverie[gpu]".'
        )
    ratio, usual = agent.config.run.train_ratio, RunConfig().train_ratio
    if not usual / 16 <= ratio <= usual * 4:  # the paper's own go from 32 to 1024
        far = "rarely, which wastes data" if ratio < usual else "very often, which takes long and may overfit"
        found.append(f"a train ratio of {ratio:g} is far from the usual {usual:g}: it updates {far}.")
    return found


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


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
