"""The dashboard as a process: where it listens, what it prints. May import: `errors`, `results`, `text`, this room."""

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
from reverie.text import printable

FIRST, TRIED = 8765, 20  # the first port to try without --port, and how many are tried


def serve(folder: Path, *, host: str, port: int | None, token: str | None) -> None:
    """Serve the dashboard until it is interrupted.

    Args:
        folder: the folder whose runs it shows.
        host: the name or address to listen on; any that other machines may reach needs a token.
        port: the port; None takes the first free one from 8765.
        token: what requests must know; if one is needed and not given, a random one is printed.

    Raises:
        InputError: there is no such folder, or the address can't be listened on.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'; name the one that holds your runs: reverie dashboard FOLDER")
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    listening = _listen(host, port)
    app = make_app(folder.absolute(), host=host, token=token)
    address = _address(host, listening.getsockname()[1], token)
    print(f"Dashboard of {printable(str(folder))}: {address}", flush=True)
    print("Press Ctrl-C to stop it.", flush=True)
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
    taken = f"Port {port} is" if port is not None else f"Ports {FIRST} to {FIRST + TRIED - 1} are all"
    raise InputError(f"{taken} in use on {host}; choose another one with --port.")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)  # requests before the server runs wait
    except BaseException:
        listening.close()
        raise
    return listening


def _address(host: str, port: int, token: str | None) -> str:
    """The address to open in a browser."""
    everywhere = host in ("0.0.0.0", "::", "")
    name = socket.gethostname() if everywhere else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(token)}" if token else "")
