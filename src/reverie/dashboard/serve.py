"""The dashboard as a process: where it listens, and what it prints. May import: `errors`, and `app` of this room."""

import errno
import secrets
import socket
from pathlib import Path
from urllib.parse import quote

import uvicorn

from reverie.dashboard.app import make_app
from reverie.dashboard.play import LARGEST
from reverie.dashboard.security import is_loopback
from reverie.errors import InputError

FIRST, TRIED = 8765, 20  # the port that is taken if none is asked for, and how many after it are tried


def serve(folder: Path, *, host: str, port: int | None, token: str | None) -> None:
    """Show the runs of a folder until it is interrupted.

    Args:
        host: name or address to listen on; anything but this machine's own makes a token needed.
        port: None for the first one that is free.
        token: to be known by who asks; if one is needed and none is given, it is made up and printed.

    Raises:
        InputError: there is no such folder, or nothing can listen there.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; name the one that holds your runs: reverie dashboard FOLDER")
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    listening = _listen(host, port)
    app = make_app(folder.absolute(), host=host, token=token)
    print(f"The runs in {folder}: {_address(host, listening.getsockname()[1], token)}", flush=True)
    print("Ctrl-C ends it.", flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=LARGEST,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int | None) -> socket.socket:
    ports = range(FIRST, FIRST + TRIED) if port is None else [port]
    for number in ports:
        try:
            return _bound(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise InputError(f"The dashboard can't listen on {host}, port {number}: {error.strerror}.") from error
    taken = f"port {port} is taken" if port is not None else f"ports {FIRST} to {FIRST + TRIED - 1} are all taken"
    raise InputError(f"On {host}, {taken}; choose another one with --port.")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)  # who asks before the server runs waits
    except BaseException:
        listening.close()
        raise
    return listening


def _address(host: str, port: int, token: str | None) -> str:
    """To open in a browser."""
    everywhere = host in ("0.0.0.0", "::", "")
    name = socket.gethostname() if everywhere else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(token)}" if token else "")
