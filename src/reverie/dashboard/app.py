"""The dashboard's addresses. May import: `errors`, and the rest of this room but `serve`.

/              the page, and /static/ what belongs to it
/api/runs      the runs in the folder
/api/metrics   what a run has measured since a cursor
/film          a film or picture of a run's dreams
/play          a WebSocket: the dream that the page plays
"""

from dataclasses import asdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from reverie.dashboard import runs
from reverie.dashboard.play import Player
from reverie.dashboard.security import Guard
from reverie.errors import InputError

STATIC = Path(__file__).parent / "static"


def make_app(
    folder: Path, *, host: str = "127.0.0.1", token: str | None = None, player: Player | None = None
) -> Starlette:
    """The application that shows a folder's runs; `host` is where it will listen."""

    def list_runs(request: Request) -> Response:
        return JSONResponse({"folder": str(folder), "runs": runs.find_runs(folder)})

    def metrics(request: Request) -> Response:
        query = request.query_params
        return JSONResponse(asdict(runs.tail(folder, query.get("run", ""), query.get("cursor", ""))))

    def film(request: Request) -> Response:
        query = request.query_params
        path, kind = runs.film(folder, query.get("run", ""), query.get("name", ""))
        return FileResponse(path, media_type=kind)

    def index(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/runs", list_runs),
            Route("/api/metrics", metrics),
            Route("/film", film),
            WebSocketRoute("/play", (player or Player(folder)).play),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, host=host, token=token)],
        exception_handlers={InputError: _refused, HTTPException: _unknown, Exception: _failed},
    )


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404)


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"There is nothing at {request.url.path} ({error.detail})."}, error.status_code)


def _failed(request: Request, error: Exception) -> Response:
    problem = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
    return JSONResponse({"error": f"The dashboard failed ({problem}); the terminal says more."}, 500)
