"""No request makes the dashboard fail."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.dashboard.app import make_app

WORDS = [b"a", b"..", b"/", b"\0", b"%", b"%00", b"%2e", b"%ff", b"[::1", b"]", b":", b"@", b"http://"]
WORDS += [b"x" * 300, b"\xed\xa0\x80", b"\xff", b"\n", b" ", b"=", b"&", b";", b"dreams/a.png", b"1:2", b"9" * 5000]
BYTES = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=5).map(b"".join)
PATHS = [b"/", b"/api/runs", b"/api/metrics", b"/film", b"/static/", b"/play"]
NAMES = st.sampled_from([b"host", b"origin", b"cookie", b"range", b"if-range", b"if-none-match", b"if-modified-since"])
HOMES = [b"127.0.0.1:8765", b"http://127.0.0.1:8765"]
VALUES = BYTES | st.sampled_from([*HOMES, b"bytes=0-", b"bytes=-1,9-2,", b"bytes=x"])
QUERIES = st.lists(st.tuples(st.sampled_from([b"run", b"cursor", b"name", b"token"]), BYTES), max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "a" / "dreams").mkdir(parents=True)
    (folder / "a" / "dreams" / "a.png").write_bytes(b"picture")
    (folder / "a" / "agent.json").write_text("{}")
    os.mkfifo(folder / "a" / "metrics.jsonl")
    return folder


def status(app, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], method: str) -> int:
    """The status that the application answers a request with."""
    sent, asked = [], []

    async def receive() -> dict[str, object]:
        if asked:
            await asyncio.sleep(60)  # the client waits for the answer
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "server": ("127.0.0.1", 8765),
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 5))
    return sent[0]["status"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(PATHS) | BYTES.map(b"/".__add__),
    query=QUERIES,
    raw=BYTES,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=3),
    mine=st.booleans(),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
@pytest.mark.parametrize("token", [None, "secret"])
def test_no_request_makes_it_fail(folder, token, path, query, raw, headers, mine, method):
    app = make_app(folder, host="0.0.0.0" if token else "127.0.0.1", token=token)
    fields = b"&".join(name + b"=" + quote_from_bytes(value).encode() for name, value in query) + b"&" + raw
    known = [(b"host", b"127.0.0.1:8765")] if mine else []
    known += [(b"cookie", b"reverie-token-8765=secret")] if mine and token else []
    assert 200 <= status(app, path, fields, known + headers, method) < 500


@pytest.mark.parametrize(
    ("path", "query", "headers"),
    [
        (b"/api/runs", b"", [(b"origin", b"http://[::1")]),
        (b"/api/runs", b"", [(b"origin", b"http://\xe2\x84\x80.com")]),
        (b"/api/runs", b"", [(b"host", b"[")]),
        (b"/api/metrics", b"run=a&cursor=" + b"9" * 5000 + b":1", []),
        (b"/api/metrics", b"run=" + b"n" * 300 + b"&cursor=", []),
        (b"/film", b"run=a&name=" + b"n" * 300 + b".png", []),
        (b"/film", b"run=" + b"a/" * 3000, []),
        (b"/static/" + b"n" * 300, b"", []),
        (b"/static/\0", b"", []),
        (b"/api/metrics", b"run=a&cursor=", []),  # its metrics are a FIFO
    ],
)
def test_malformed_requests_are_refused(folder, path, query, headers):
    known = [] if any(name == b"host" for name, _ in headers) else [(b"host", b"127.0.0.1:8765")]
    assert 400 <= status(make_app(folder), path, query, known + headers, "GET") < 500
