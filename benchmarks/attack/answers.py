"""What the commands and the dashboard answer when they are given a run folder."""

import contextlib
import io
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import reverie.cli

SECONDS = 120  # after which an answer counts as hung
MEBIBYTES = 600  # by which an answer may raise this process's peak memory


class Answer(NamedTuple):
    """What a command said."""

    status: int
    said: str
    problems: list[str]


class HungError(Exception):
    """An answer took too long."""


def answer(arguments: list[str]) -> Answer:
    """Run a `reverie` command in this process: an error must be a sentence, and end the command with status 1 or 2."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status, problems = _bounded(lambda: reverie.cli.main(arguments))
    said = output.getvalue()
    if status not in (0, 1, 2):
        problems.append(f"exit status {status}")
    if status and "Error: " not in said:
        problems.append("an exit status without a sentence")
    if "Traceback" in said:
        problems.append("a traceback")
    return Answer(status, said, [f"reverie {arguments[0]}: {problem}" for problem in problems])


def dashboard(folder: Path, run: str, *, play: bool = True) -> Answer:
    """Ask the dashboard for everything about a run, and to play a dream; it must answer in JSON, and never fail."""
    from starlette.testclient import TestClient

    from reverie.dashboard.app import make_app

    said, home = list[str](), "http://127.0.0.1:8765"

    def ask() -> None:
        with TestClient(make_app(folder), base_url=home, raise_server_exceptions=False) as client:
            paths = ["/api/runs", f"/api/metrics?run={run}&cursor=", *_films(folder / run, run)]
            for path in paths:
                got = client.get(path)
                if got.status_code not in (200, 400, 404):
                    said.append(f"{path}: {got.status_code} {got.text[:200]}")
            if not play:
                return
            with client.websocket_connect(home.replace("http", "ws") + "/play", headers={"origin": home}) as socket:
                socket.send_json({"do": "open", "run": run})
                opened = socket.receive_json()
                told = {name: opened.get(name) for name in ("type", "damaged", "message")}
                said.append(f"play: {told}")

    _, problems = _bounded(ask)
    problems += [line for line in said if line.startswith("/") or "The dream failed" in line]
    return Answer(0, "\n".join(said), [f"dashboard: {problem}" for problem in problems])


def _films(run: Path, name: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [f"/film?run={name}&name={film.name}" for film in (run / "dreams").iterdir()][:3]
    return []


def _bounded(call: Callable[[], Any]) -> tuple[int, list[str]]:
    """The exit status of a call, and what is wrong with how it ended."""
    problems, status = list[str](), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with _alarm(SECONDS):
            call()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except HungError:
        problems.append(f"no answer within {SECONDS} seconds")
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        problems.append(f"{type(error).__name__}: {str(error)[:200]} in {where.filename}:{where.lineno}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    if grown > MEBIBYTES:
        problems.append(f"needed {grown} MiB of memory")
    return status, problems


@contextlib.contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HungError

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
