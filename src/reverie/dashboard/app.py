"""The routes of the dashboard. May import: `errors`, `text`, and this room without `serve`.

/              the page, with its files in /static/
/api/runs      the runs in the folder
/api/metrics   metrics that runs wrote after a cursor
/film          a film or picture of a run's predictions
/play          a WebSocket that plays dreams
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from reverie.dashboard import metrics, runs
from reverie.dashboard.play import Player
from reverie.dashboard.security import Guard, MalformedError
from reverie.errors import InputError
from reverie.text import printable

STATIC = Path(__file__).parent / "static"
AT_ONCE = 64  # runs in one request for metrics
ENOUGH = 2**23  # characters of metrics after which an answer leaves the rest for the next one


def make_app(
    folder: Path, *, host: str = "127.0.0.1", token: str | None = None, player: Player | None = None
) -> Starlette:
    """The application that shows the runs in a folder.

    Args:
        folder: the folder.
        host: the name or address on which it will listen.
        token: what requests must know; needed unless `host` is this machine's own address.
        player: what plays dreams; by default one with the usual limits.
    """

    def list_runs(request: Request) -> Response:
        return JSONResponse({"folder": printable(str(folder)), "runs": runs.find_runs(folder)})

    def tails(request: Request) -> Response:
        query = request.query_params
        wanted = list(zip(query.getlist("run"), query.getlist("cursor"), strict=False))
        if not wanted or len(wanted) > AT_ONCE:
            raise MalformedError(f"Ask for 1 to {AT_ONCE} runs, each with run=… and cursor=…, got {len(wanted)}.")
        return JSONResponse({"runs": _tails(folder, wanted)})

    def film(request: Request) -> Response:
        query = request.query_params
        path, kind = metrics.film(runs.run_folder(folder, query.get("run", "")), query.get("name", ""))
        return FileResponse(path, media_type=kind)

    def index(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/api/runs", list_runs),
            Route("/api/metrics", tails),
            Route("/film", film),
            WebSocketRoute("/play", (player or Player(folder)).play),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, host=host, token=token)],
        exception_handlers={
            MalformedError: _malformed,
            InputError: _refused,
            HTTPException: _unknown,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False  # it would put the Host header into an address, whatever that holds
    return app


def _tails(folder: Path, wanted: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """What each run wrote after its cursor; a run that can't be read has a `problem` instead."""
    answers: list[dict[str, Any]] = []
    length = 0
    for run, cursor in wanted:
        if length > ENOUGH:
            answers.append({"run": run, "cursor": cursor, "lines": "", "more": True, "replaced": False})
            continue
        try:
            found = metrics.tail(runs.run_folder(folder, run), cursor)
        except InputError as error:
            if isinstance(error, MalformedError) or len(wanted) == 1:
                raise
            answers.append({"run": run, "problem": printable(str(error))})
            continue
        length += len(found.lines)
        answers.append({"run": run} | asdict(found))
    return answers


def _malformed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": printable(str(error))}, 400)


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": printable(str(error))}, 404)


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = printable(request.scope["path"])
    return JSONResponse({"error": f"There is nothing at {path} ({error.detail})."}, error.status_code)


def _failed(request: Request, error: Exception) -> Response:
    problem = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
    return JSONResponse({"error": f"The dashboard failed ({printable(problem)}); see its terminal."}, 500)
