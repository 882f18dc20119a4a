"""Workers that step environments, and the one that does so in this process; `processes` has the parallel one.

All workers have the same interface: `start` a reset or a step of one environment, `finish` it, and read the
observations of all. An error in an environment is raised by its `finish`; `restart` then replaces that environment.

May import: `reverie.spaces`, `final_info`, `guard`, `rows`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from reverie.envs import final_info
from reverie.envs.guard import Guarded
from reverie.envs.rows import Rows
from reverie.spaces import Spaces


@runtime_checkable
class Maker(Protocol):
    """Creates an environment from its seed."""

    def __call__(self, seed: int) -> Guarded: ...

    def with_mask_from_info(self) -> Maker:
        """A maker of the same environment that copies the mask in its info into the observation."""


class Outcome(NamedTuple):
    """The result of a reset or step, without the observation."""

    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, float]  # the numbers of the info at the end of an episode; otherwise empty


class Workers(Protocol):
    """N copies of an environment."""

    spaces: Spaces
    render_mode: str | None
    render_fps: object  # what the environment's metadata say, unchecked

    def start(self, index: int, command: str, argument: Any) -> None:
        """Start a "reset" (with a seed or None), a "step" (with an action) or a "render"."""

    def finish(self, index: int) -> Any:
        """The result: an `Outcome`, or a frame. Raises the environment's error, or TimeoutError."""

    def wait(self) -> list[int]:
        """Wait until at least one of the started environments can be finished without blocking, and return these.

        Includes environments whose time is up.
        """

    def observations(self) -> Any:
        """The batched observations of all environments. A row is valid from `finish` to the next `start`."""

    def restart(self, index: int, seed: int) -> None:
        """Abandon one environment, whatever its state, and create it again."""

    def close(self) -> list[str]:
        """Close all environments; returns a sentence for each one that failed to close."""


class InProcess:
    """Steps environments in this process, without protection against hanging ones.

    Args:
        makers: one for each environment.
        seeds: what to create them from.
    """

    def __init__(self, makers: Sequence[Maker], seeds: Sequence[int]) -> None:
        self._makers = makers
        self.envs: list[Guarded] = []
        try:
            for make, seed in zip(makers, seeds, strict=True):
                self.envs.append(make(seed))
        except BaseException:
            self.close()
            raise
        self.spaces, self.render_mode = self.envs[0].spaces, self.envs[0].render_mode
        self.render_fps = self.envs[0].metadata.get("render_fps")
        self._rows = Rows(self.spaces, len(makers))
        self._results: list[Any] = [None] * len(makers)

    def start(self, index: int, command: str, argument: Any) -> None:
        try:
            self._results[index], observation = do(self.envs[index], command, argument)
            if command != "render":
                self._rows.write(index, observation)  # a copy: environments may reuse their buffers, or share them
        except Exception as error:  # any error is the environment's, and `finish` raises it
            self._results[index] = error

    def finish(self, index: int) -> Any:
        if isinstance(result := self._results[index], Exception):
            raise result
        return result

    def wait(self) -> list[int]:
        return list(range(len(self.envs)))

    def observations(self) -> Any:
        return self._rows.batch

    def restart(self, index: int, seed: int) -> None:
        with contextlib.suppress(Exception, SystemExit):  # it may be broken
            self.envs[index].close()
        self.envs[index] = self._makers[index](seed)

    def close(self) -> list[str]:
        problems = []
        for index, env in enumerate(self.envs):
            try:
                env.close()
            except (Exception, SystemExit) as error:  # a broken one must not keep the others open
                problems.append(close_failed(index, error))
        self.envs = []
        return problems


def do(env: Guarded, command: str, argument: Any) -> tuple[Any, Any]:
    """The result of a command, and the observation if there is one."""
    if command == "reset":
        observation, _ = env.reset(seed=argument)
        return Outcome(0.0, False, False, {}), observation
    if command == "step":
        observation, reward, terminated, truncated, info = env.step(argument)
        numbers = final_info.numbers(info) if terminated or truncated else {}
        return Outcome(reward, terminated, truncated, numbers), observation
    return env.render(), None


def close_failed(index: int, error: BaseException) -> str:
    """The warning about an environment that raised an error while closing."""
    return f"Environment {index} failed to close ({type(error).__name__}: {error})."
