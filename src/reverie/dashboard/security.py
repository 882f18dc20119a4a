"""Which requests the dashboard answers, and which files they reach. May import: `errors`; Starlette.

The dashboard shows what training wrote, and nothing else on the machine. On the loopback interface, a foreign web page
could reach it through the browser. Therefore the Host header must name this machine, which a foreign name that
resolves to it does not, and a WebSocket must come from the dashboard's own page. Any other address needs a token.
"""

import hmac
import ipaddress
import os
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from reverie.errors import InputError

REFUSED = 4403  # WebSocket close code, in the range for applications
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


LONGEST_NAME, LONGEST_PATH = 255, 4096  # bytes that file systems take


class MalformedError(InputError):
    """A request makes no sense, whatever the folder holds."""


class Guard:
    """Passes requests to `app` if they come from its own page and, where there is a `token`, know it."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None):
        self._app, self._token = app, token
        self._local = is_loopback(host)
        if not self._local and not token:
            raise InputError(f"The dashboard needs a token to listen on {host!r}, which other machines may reach.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        if scope["type"] == "http" and self._asks_with_token(scope):
            return await self._remember_token(scope)(scope, receive, send)
        if scope["type"] == "http" and not scope["query_string"].isascii():
            return await PlainTextResponse("The address is malformed.", 400, HEADERS)(scope, receive, send)
        problem = self._problem(scope)
        if problem and scope["type"] == "websocket":
            return await WebSocketClose(REFUSED, problem)(scope, receive, send)
        if problem:
            return await PlainTextResponse(problem, 403, HEADERS)(scope, receive, send)
        await self._app(scope, receive, _with_headers(send))

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._local and not is_loopback(_name(host)):
            name = _name(host)[:100]
            return f"The dashboard is for this machine only and is not called {name!r}; open http://127.0.0.1."
        if scope["type"] == "websocket" and origin is None:
            return "A WebSocket request needs an Origin header."
        if origin is not None and _netloc(origin) != host.lower():
            return f"The page {origin[:100]!r} is not the dashboard's own."
        if self._token and not self._knows_token(headers):
            return "The dashboard needs its token: open the address that `reverie dashboard` printed."
        return None

    def _knows_token(self, headers: Headers) -> bool:
        try:
            given = SimpleCookie(headers.get("cookie", "")).get(_cookie(headers))
        except CookieError:
            return False
        return given is not None and self._same(given.value)

    def _same(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _asks_with_token(self, scope: Scope) -> bool:
        """Whether this is a request for the printed address, `/?token=…`."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return bool(self._token) and scope["path"] == "/" and self._same(given)

    def _remember_token(self, scope: Scope) -> RedirectResponse:
        """Move the token from the address bar to a cookie that scripts and other sites can't read."""
        response = RedirectResponse("/", 303, HEADERS)
        assert self._token is not None
        # Lax, so that following a link to the dashboard works; a WebSocket must come from the page itself anyway.
        response.set_cookie(_cookie(Headers(scope=scope)), self._token, httponly=True, samesite="lax")
        return response


def is_loopback(name: str) -> bool:
    """Whether a host name or address is one that only this machine can reach."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def inside(folder: Path, relative: str) -> Path:
    """The file or folder at a relative path, with links resolved.

    Raises:
        InputError: it is not in the folder, or not a path.
    """
    folder = folder.resolve()
    try:
        if len(os.fsencode(relative)) > LONGEST_PATH:
            raise InputError("A path has too many characters.")
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in relative.split("/")):
            raise InputError(f"A name in a path has at most {LONGEST_NAME} bytes.")
        path = (folder / relative).resolve()
    except InputError:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{relative[:100]!r} is not a path.") from error
    if not path.is_relative_to(folder):
        raise InputError(f"{relative!r} is not in the folder that the dashboard shows.")
    return path


def _cookie(headers: Headers) -> str:
    """The cookie's name; it has the port, which browsers ignore in cookies, because each port may have a dashboard."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"reverie-token-{port if port.isascii() and port.isdecimal() else ''}"


def _name(host: str) -> str:
    """The host without its port, and an IPv6 address without its brackets; empty if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    """The host and port of an origin; None if it is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
