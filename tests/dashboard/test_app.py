"""The dashboard's routes: runs, growing metrics and films, and the requests that it refuses."""

import json
import os
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from reverie.dashboard import app, runs
from reverie.dashboard import metrics as metrics_of_runs
from reverie.dashboard.app import STATIC, make_app
from reverie.errors import InputError

HOME, PLAY = "http://127.0.0.1:8765", "ws://127.0.0.1:8765/play"


def client(folder, **options) -> TestClient:
    return TestClient(make_app(folder, **options), base_url=HOME)


def rows(answer) -> list[dict]:
    return [json.loads(line) for line in answer["lines"].splitlines()]


def metrics(page, run="a", cursor=""):
    answer = page.get("/api/metrics", params={"run": run, "cursor": cursor}).json()
    return {name: value for name, value in answer["runs"][0].items() if name != "run"} if "runs" in answer else answer


def test_a_trained_run_is_listed_with_its_metrics_and_films(trained):
    page = client(trained)
    (run,) = page.get("/api/runs").json()["runs"]
    assert run["id"] == "nested/pixels"
    assert run["env"] == "reverie/Catch-v0"
    assert run["steps"] == 60
    assert run["checkpoint"] >= 60
    assert run["state"] == "finished"
    assert run["step"] == 60
    assert run["films"] == ["old.png"]
    tail = metrics(page, "nested/pixels")
    assert {"step", "episode/return", "replay/records"} <= {name for row in rows(tail) for name in row}
    assert not tail["more"]
    film = page.get("/film", params={"run": "nested/pixels", "name": "old.png"})
    assert film.content == b"\x89PNG old"
    assert film.headers["content-type"] == "image/png"


def test_a_folder_that_is_a_run_itself_lists_itself(trained):
    page = client(trained / "nested" / "pixels")
    assert [run["id"] for run in page.get("/api/runs").json()["runs"]] == ["."]
    assert rows(metrics(page, "."))


def test_metrics_are_read_line_by_line_as_they_grow(written):
    page, file = client(written), written / "a" / "metrics.jsonl"
    assert metrics(page) == {"cursor": "", "lines": "", "more": False, "replaced": False}  # not begun yet
    file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    first = metrics(page)
    assert rows(first) == [{"step": 1}, {"step": 2}]
    with file.open("a") as more:
        more.write('ep": 3}\n')
    second = metrics(page, cursor=first["cursor"])
    assert rows(second) == [{"step": 3}]
    assert not second["replaced"]
    assert rows(metrics(page, cursor=second["cursor"])) == []


def test_a_run_that_was_continued_is_read_anew(written):
    """Resuming drops the rows after the checkpoint and replaces the file."""
    page, file = client(written), written / "a" / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n')
    first = metrics(page)
    (written / "a" / "metrics.tmp").write_text('{"step": 1}\n{"step": 5}\n')
    (written / "a" / "metrics.tmp").replace(file)
    again = metrics(page, cursor=first["cursor"])
    assert again["replaced"]
    assert rows(again) == [{"step": 1}, {"step": 5}]
    file.write_text("")  # cut off, in its place
    assert metrics(page, cursor=again["cursor"])["replaced"]
    file.unlink()
    assert metrics(page, cursor=again["cursor"]) == {"cursor": "", "lines": "", "more": False, "replaced": True}


def test_long_metrics_come_in_pieces(written, monkeypatch):
    monkeypatch.setattr(metrics_of_runs, "CHUNK", 64)
    page, wanted = client(written), [{"step": step} for step in range(100)]
    (written / "a" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wanted))
    found, tail = [], {"cursor": "", "more": True}
    while tail["more"]:
        tail = metrics(page, cursor=tail["cursor"])
        found += rows(tail)
    assert found == wanted
    (written / "a" / "metrics.jsonl").write_text("x" * 1000)
    assert "holds no metrics" in metrics(page)["error"]


@pytest.mark.parametrize("cursor", ["1:0", "1:99999999999", f"{2**66 % 10**20}:1"])
def test_a_cursor_of_another_file_reads_from_the_beginning(written, cursor):
    (written / "a" / "metrics.jsonl").write_text('{"step": 1}\n')
    tail = metrics(client(written), cursor=cursor)
    assert tail["replaced"]
    assert rows(tail) == [{"step": 1}]


@pytest.mark.parametrize("cursor", ["x", "1", "1:x", ":", "-1:-1", "½:½", "²:²", "1:" + "9" * 5000, "1:1\n"])
def test_a_malformed_cursor_is_refused(written, cursor):
    (written / "a" / "metrics.jsonl").write_text('{"step": 1}\n')
    answer = client(written).get("/api/metrics", params={"run": "a", "cursor": cursor})
    assert answer.status_code == 400
    assert "is no cursor" in answer.json()["error"]


def test_many_runs_are_read_at_once(written):
    for name in ("b", "c"):
        (written / name).mkdir()
        (written / name / "agent.json").write_bytes((written / "a" / "agent.json").read_bytes())
        (written / name / "metrics.jsonl").write_text(f'{{"step": 1, "name": "{name}"}}\n')
    query = [("run", "b"), ("cursor", ""), ("run", "gone"), ("cursor", ""), ("run", "c"), ("cursor", "")]
    page = client(written)
    b, gone, c = page.get("/api/metrics", params=query).json()["runs"]
    assert (rows(b)[0]["name"], rows(c)[0]["name"]) == ("b", "c")
    assert gone == {"run": "gone", "problem": "There is no run 'gone' here."}
    for wrong in ([], query * 30):
        assert page.get("/api/metrics", params=wrong).status_code == 400


def test_an_answer_has_a_size_that_a_browser_takes(written, monkeypatch):
    monkeypatch.setattr(app, "ENOUGH", 5)
    (written / "a" / "metrics.jsonl").write_text('{"step": 1}\n')
    query = [("run", "a"), ("cursor", "")] * 2
    first, second = client(written).get("/api/metrics", params=query).json()["runs"]
    assert first["lines"]
    assert second == {"run": "a", "cursor": "", "lines": "", "more": True, "replaced": False}


@pytest.mark.parametrize("run", ["..", "../..", "/etc", "a/../..", "a\0b", "nowhere", "", "~"])
def test_runs_outside_of_the_folder_are_refused(written, run):
    page = client(written)
    for path, query in (("/api/metrics", {"run": run}), ("/film", {"run": run, "name": "secret.png"})):
        answer = page.get(path, params=query | {"cursor": ""})
        assert answer.status_code == 404
        assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize(
    "name", ["../../../secret.png", "../agent.json", "linked.png", "notes.txt", "", ".", "nothing.mp4", "a\0.png"]
)
def test_films_outside_of_the_runs_dreams_are_refused(written, name):
    films = written / "a" / "dreams"
    films.mkdir()
    (films / "notes.txt").write_text("no film")
    (films / "linked.png").symlink_to(written.parent / "secret.png")
    answer = client(written).get("/film", params={"run": "a", "name": name})
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace(name, "")


def test_links_that_leave_the_folder_are_not_followed(written):
    (written.parent / "elsewhere").mkdir()
    (written / "a" / "agent.json").rename(written.parent / "elsewhere" / "agent.json")
    (written / "linked").symlink_to(written.parent / "elsewhere")
    (written / "b").mkdir()
    (written / "b" / "agent.json").symlink_to(written.parent / "elsewhere" / "agent.json")
    page = client(written)
    (listed,) = page.get("/api/runs").json()["runs"]
    assert listed["id"] == "b"
    assert "not in the folder" in listed["problem"]
    for run in ("linked", "b"):
        with pytest.raises(InputError, match="not in the folder"):
            runs.run_folder(written, run)


def test_the_page_and_all_it_needs_are_served(written):
    page = client(written)
    index = page.get("/")
    assert "<title>Reverie</title>" in index.text
    policy = index.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for file in STATIC.iterdir():
        assert page.get(f"/static/{file.name}").status_code == 200, file
        assert "http://" not in file.read_text().replace("http://www.w3.org/2000/svg", ""), f"{file} wants the network"
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/nothing"):
        answer = page.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("There is nothing at")
    assert page.post("/api/runs").status_code == 405


def test_every_documented_metric_has_a_title():
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    names = {name for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)*)`(?=.*\|.*\|)", documented) if "/" in name}
    titles = (STATIC / "metrics.js").read_text()
    told = {name for name in names if not name.startswith(("time/", "loss/"))}
    assert len(told) > 15
    assert [name for name in sorted(told) if f'"{name}":' not in titles] == []


def test_another_sites_name_for_this_machine_is_refused(written):
    """A page of evil.com whose name was made to point to 127.0.0.1 is same-origin to the browser."""
    for host in ("evil.com", "evil.com:8765", "127.0.0.1.evil.com", "", "[::1", "10.0.0.1"):
        answer = client(written).get("/api/runs", headers={"host": host})
        assert answer.status_code == 403, host
        assert "for this machine only" in answer.text
    for host in ("localhost:1234", "127.0.0.1", "[::1]:8765"):
        assert client(written).get("/api/runs", headers={"host": host}).status_code == 200, host


def test_a_foreign_page_is_refused(written):
    page = client(written)
    assert page.get("/api/runs", headers={"origin": "http://evil.com"}).status_code == 403
    assert page.get("/api/runs", headers={"origin": HOME}).status_code == 200
    for origin in ("http://evil.com", "http://127.0.0.1:9999", "null", None):
        headers = {"origin": origin} if origin else {}
        with pytest.raises(WebSocketDisconnect) as closed, page.websocket_connect(PLAY, headers=headers):
            pass
        assert "own" in closed.value.reason or "Origin" in closed.value.reason
    with page.websocket_connect(PLAY, headers={"origin": HOME}):
        pass  # its own page gets through


def test_elsewhere_than_on_this_machine_a_token_is_needed(written):
    guarded = make_app(written, host="0.0.0.0", token="gr8-ügly")
    page = TestClient(guarded, base_url="http://big-machine:8765", follow_redirects=False)
    assert page.get("/api/runs").status_code == 403
    assert page.get("/static/app.js").status_code == 403
    assert page.get("/?token=wrong").status_code == 403
    page.cookies.set("reverie-token-8765", "wrong")
    assert page.get("/api/runs").status_code == 403
    play, headers = "ws://big-machine:8765/play", {"origin": "http://big-machine:8765"}
    with pytest.raises(WebSocketDisconnect), page.websocket_connect(play, headers=headers):
        pass


@pytest.mark.parametrize("token", [None, ""])
def test_it_is_never_open_to_others_without_a_token(written, token):
    page = TestClient(make_app(written, host="0.0.0.0", token=token), base_url="http://big-machine:8765")
    with pytest.raises(InputError, match="needs a token"):
        page.get("/api/runs")


def test_the_printed_address_lets_in(written):
    page = TestClient(make_app(written, host="0.0.0.0", token="abc-DEF_1"), base_url="http://big-machine:8765")
    answer = page.get("/?token=abc-DEF_1")
    assert answer.status_code == 200
    assert "token" not in str(answer.url)
    cookie = answer.history[0].headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert page.get("/api/runs").status_code == 200


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_metrics_that_are_no_file_are_refused(written, make):
    make(written / "a" / "metrics.jsonl")
    answer = client(written).get("/api/metrics", params={"run": "a", "cursor": ""})
    assert answer.status_code == 404
    assert "is not a regular file" in answer.json()["error"] or "Is a directory" in answer.json()["error"]
