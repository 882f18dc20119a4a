"""A dream that the page plays over a WebSocket. Each request is answered with a state, or an error in a sentence.

May import: `dreams`, `errors`, `results`, `text`, and `runs`, `security` and `wire` of this room.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from reverie.dashboard.runs import run_folder
from reverie.dashboard.security import inside
from reverie.errors import InputError
from reverie.text import printable

if TYPE_CHECKING:
    from reverie.dreams import Dream, Dreamer

SESSIONS = 4  # dreams at a time; each holds a model
IDLE = 900.0  # seconds without a request after which a session ends
LARGEST = 2**16  # characters of a request
FULL, ENDED = 4429, 4408  # WebSocket close codes, in the range for applications

logger = logging.getLogger(__name__)


class Player:
    """Plays dreams of the runs in a folder; each WebSocket has a session of its own."""

    def __init__(self, folder: Path, *, sessions: int = SESSIONS, idle: float = IDLE):
        self._folder, self._sessions, self._idle = folder, sessions, idle
        self._open = 0

    async def play(self, socket: WebSocket) -> None:
        """Serve one WebSocket until it closes."""
        await socket.accept()
        if self._open >= self._sessions:
            dreams = "dream is" if self._sessions == 1 else "dreams are"
            reason = f"Already {self._sessions} {dreams} being played; close a page."
            return await socket.close(FULL, reason)
        self._open += 1
        try:
            await self._serve(socket, Session(self._folder))
        except WebSocketDisconnect:
            pass
        finally:
            self._open -= 1

    async def _serve(self, socket: WebSocket, session: "Session") -> None:
        while True:
            try:
                request = await asyncio.wait_for(socket.receive_text(), self._idle)
            except TimeoutError:
                return await socket.close(ENDED, "The dream ended after a while without requests.")
            except KeyError:  # Starlette raises it for a message of bytes
                request = ""
            await socket.send_text(json.dumps(await run_in_threadpool(session.answer, request)))


class Session:
    """What one page has open: a run's checkpoint and a dream. Used by one thread at a time."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._dreamer: Dreamer | None = None
        self._dream: Dream | None = None

    def answer(self, message: str) -> dict[str, Any]:
        """The answer to a request, in JSON's types; an error if the request can't be met."""
        try:
            return self._do(_parsed(message))
        except InputError as error:
            return {"type": "error", "message": printable(str(error))}
        except Exception as error:  # the page must hear of it
            logger.exception("A dream failed.")
            return {"type": "error", "message": f"The dream failed ({type(error).__name__}); see the terminal."}

    def _do(self, request: Any) -> dict[str, Any]:
        match request:
            case {"do": "open", "run": str(run)}:
                return self._opened(run)
            case {"do": "begin", "moment": int(moment), "seed": int() | None as seed}:
                return self._begun(moment, seed)
            case {"do": "step", "action": action}:
                self._playing.step(action)
            case {"do": "policy"}:
                self._playing.policy_step()
            case {"do": "recorded"}:
                self._playing.recorded_step()
            case {"do": "go", "state": int(state)}:
                self._playing.go(state)
            case _:
                raise InputError("The dashboard does not know this request; reload the page.")
        return self._present()

    def _opened(self, run: str) -> dict[str, Any]:
        from reverie.dashboard import wire
        from reverie.dreams import Dreamer

        folder = run_folder(self._folder, run)
        inside(folder, "checkpoints")
        self._dream = None
        self._dreamer = Dreamer.load(folder)
        self._dreamer.dream().policy_step()  # compiles it now, not at the first step
        return wire.opened(run, self._dreamer)

    def _begun(self, moment: int, seed: int | None) -> dict[str, Any]:
        if self._dreamer is None:
            raise InputError("Open a run first.")
        if seed is not None and not 0 <= seed < 2**31:
            raise InputError(f"The seed must be between 0 and {2**31 - 1}, got {seed}.")
        self._dream = self._dreamer.dream(moment, seed)
        return self._present()

    def _present(self) -> dict[str, Any]:
        from reverie.dashboard import wire

        assert self._dreamer is not None
        return wire.present(wire.shown(self._dreamer), self._playing)

    @property
    def _playing(self) -> "Dream":
        if self._dream is None:
            raise InputError("Start a dream first.")
        return self._dream


def _parsed(message: str) -> Any:
    if len(message) > LARGEST:
        raise InputError(f"A request may have {LARGEST:,} characters, got {len(message):,}.")
    try:
        return json.loads(message)
    except (ValueError, RecursionError) as error:
        raise InputError("The request is not JSON; reload the page.") from error
