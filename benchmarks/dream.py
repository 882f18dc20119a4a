"""Time dream steps at batch size 1, each with its image on the host, as the dashboard needs them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.common import Size, quartiles, report
from reverie.agent import Agent
from reverie.config import Config
from reverie.dreams import Dream, Moment
from reverie.experience import Experience
from reverie.presets import SIZES
from reverie.spaces import Spaces


@dataclass(frozen=True)
class Settings:
    """Dream with untrained parameters from random 64×64×3 pixels, with 17 discrete actions."""

    size: tuple[Size, ...] = ("size1m", "size12m")
    steps: int = 200
    """Measured steps per size, after one that compiles."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    rows = []
    for size in settings.size:
        rows.append({"size": size, **measure(size, settings.steps)})
        print(rows[-1], flush=True)
    report("dream", settings, rows, settings.output)


def measure(size: Size, steps: int) -> dict[str, float]:
    spaces = Spaces(gym.spaces.Box(0, 255, (64, 64, 3), np.uint8), gym.spaces.Discrete(17))
    agent = Agent(spaces, Config(model=SIZES[size]))
    first = milliseconds(lambda: Dream(agent, moment(agent)).policy_step())
    dream = Dream(agent, moment(agent))
    begin = milliseconds(lambda: Dream(agent, moment(agent)))
    times = [milliseconds(dream.policy_step) for _ in range(steps)]
    spread = {f"{name} ms": value for name, value in quartiles(times).items()}
    return {"first s": first / 1e3, "begin ms": begin, **spread, "steps/s": 1e3 / float(np.median(times))}


def milliseconds(function: Callable[[], object]) -> float:
    """Wall time of one call; a dream's states are on the host when it returns."""
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def moment(agent: Agent) -> Moment:
    """A single record that starts an episode."""
    model, flag = agent.config.model, np.ones(1, bool)
    pixels = np.asarray(jax.random.randint(jax.random.key(0), (1, 64, 64, 3), 0, 256), np.uint8)
    records = Experience(
        observation={"image": pixels},
        action=agent.spaces.zero_action(1),
        reward=np.zeros(1, np.float32),
        is_first=flag,
        is_last=~flag,
        is_terminal=~flag,
        deter=np.zeros((1, model.deter), jnp.bfloat16),
        stoch=np.zeros((1, model.groups), np.uint8),
    )
    return Moment(records, 0)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
