"""The command: where it listens, what it prints, and its error messages."""

import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from reverie import cli
from reverie.dashboard import serve
from reverie.errors import InputError


@pytest.fixture
def taken():
    """A port in use."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_a_sentence(taken):
    with pytest.raises(InputError, match=f"Port {taken} is in use on 127.0.0.1; choose another one with --port"):
        serve._listen("127.0.0.1", taken)


def test_without_a_port_the_next_free_one_is_found(taken, monkeypatch):
    monkeypatch.setattr(serve, "FIRST", taken)
    with serve._listen("127.0.0.1", None) as listening:
        assert taken < listening.getsockname()[1] < taken + serve.TRIED
    monkeypatch.setattr(serve, "TRIED", 1)
    with pytest.raises(InputError, match="are all in use"):
        serve._listen("127.0.0.1", None)


def test_a_host_that_is_not_here_is_a_sentence():
    with pytest.raises(InputError, match="can't listen on 192.0.2.1"):
        serve._listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "token", "address"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:1/"),
        ("::1", None, "http://[::1]:1/"),
        ("10.0.0.1", "abc", "http://10.0.0.1:1/?token=abc"),
        ("0.0.0.0", "a b", f"http://{socket.gethostname()}:1/?token=a%20b"),
    ],
)
def test_the_address_that_is_printed(host, token, address):
    assert serve._address(host, 1, token) == address


def test_a_folder_that_is_not_there_and_a_missing_extra(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["dashboard", str(tmp_path / "nowhere")])
    assert ended.value.code == 1
    assert "There is no folder" in capsys.readouterr().err
    monkeypatch.setattr("reverie.cli.dashboard.find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(SystemExit) as ended:
        cli.main(["dashboard", str(tmp_path)])
    assert ended.value.code == 1
    assert "The dashboard needs uvicorn; install it with: pip install 'reverie[dashboard]'" in capsys.readouterr().err


def test_open_to_others_it_prints_a_token_and_asks_for_it(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "reverie", "dashboard", ".", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PYTHONUNBUFFERED": "1"},
    )
    try:
        port, token = re.search(r":(\d+)/\?token=(\S{20,})", process.stdout.readline()).groups()
        home = f"http://127.0.0.1:{port}/"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(home, timeout=60)
        assert refused.value.code == 403
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b"<title>Reverie</title>" in opener.open(f"{home}?token={token}", timeout=60).read()
        assert b'"runs":[]' in opener.open(f"{home}api/runs", timeout=60).read()
    finally:
        process.terminate()
        process.wait()
