"""Who may ask the dashboard, and for which files. May import: `errors`; Starlette.

It shows what training wrote, and nothing else on the machine. It listens on the loopback interface, where a web page
of somebody else's can reach it through the browser: so the Host header must name this machine (a foreign name that was
made to point here does not), and a WebSocket must come from the dashboard's own page. On any other address a token is
needed.
"""

import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from reverie.errors import InputError

REFUSED = 4403  # the WebSocket closing code, in the range that is free for applications
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Guard:
    """Lets through to `app` what comes from its own page and, if there is a `token`, knows it."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None):
        self._app, self._token = app, token
        self._local = is_loopback(host)
        if not self._local and not token:
            raise InputError(f"{host!r} is not this machine's own address, so the dashboard needs a token there.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        if scope["type"] == "http" and self._asks_with_token(scope):
            return await self._remember_token(scope)(scope, receive, send)
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
            return f"The dashboard is for this machine only and is not called {_name(host)!r}; open http://127.0.0.1."
        if scope["type"] == "websocket" and origin is None:
            return "A connection must say where it comes from (the Origin header is missing)."
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"The page {origin!r} is not the dashboard's own."
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
        """Whether this is the address that was printed, `/?token=…`."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return bool(self._token) and scope["path"] == "/" and self._same(given)

    def _remember_token(self, scope: Scope) -> RedirectResponse:
        """In a cookie that scripts and other sites can't use, so that it leaves the address bar."""
        response = RedirectResponse("/", 303, HEADERS)
        assert self._token is not None
        # Lax: who follows a link to the address brings it; a WebSocket must come from the page itself anyway.
        response.set_cookie(_cookie(Headers(scope=scope)), self._token, httponly=True, samesite="lax")
        return response


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is this machine's own, as only it can reach it."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def inside(folder: Path, relative: str) -> Path:
    """The file or folder at a relative path, wherever links lead, if that is in the folder.

    Raises:
        InputError: it is outside of it, or no path.
    """
    folder = folder.resolve()
    try:
        path = (folder / relative).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{relative!r} is no path.") from error
    if not path.is_relative_to(folder):
        raise InputError(f"{relative!r} is not in the folder that the dashboard shows.")
    return path


def _cookie(headers: Headers) -> str:
    """Its name: cookies don't know ports, and there may be a dashboard on each."""
    return f"reverie-token-{headers.get('host', '').rpartition(':')[2]}"


def _name(host: str) -> str:
    """Without the port; an IPv6 address without its brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
