"""Dreams played over a WebSocket, in a real run."""

import base64

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from reverie.dashboard import play, wire
from reverie.dashboard.app import make_app
from reverie.dashboard.play import Player
from reverie.dreams import Dreamer

HOME, PLAY = "http://127.0.0.1:8765", "ws://127.0.0.1:8765/play"


def connect(folder, **options):
    app = make_app(folder, player=Player(folder, **options))
    return TestClient(app, base_url=HOME).websocket_connect(PLAY, headers={"origin": HOME})


def ask(socket, **request):
    socket.send_json(request)
    return socket.receive_json()


@pytest.fixture(scope="module")
def socket(trained):
    with connect(trained) as socket:
        opened = ask(socket, do="open", run="nested/pixels")
        assert opened["type"] == "opened", opened
        yield socket


def test_a_run_is_opened_with_moments_to_begin_from(socket):
    opened = ask(socket, do="open", run="nested/pixels")
    assert opened["env_steps"] == 60
    assert opened["damaged"] == []
    assert opened["observations"] == {"image": {"kind": "image", "shape": [64, 64, 3]}}
    assert opened["actions"] == {"action": {"kind": "classes", "shape": [], "classes": 3, "counts": None}}
    for moment in opened["moments"]:  # episodes of Catch have 8 records, so the excerpt has all of them
        assert moment["whole"]
        assert 0 <= moment["time"] < 8
        assert moment["return"] in (-1, 0, 1)
    image = opened["moments"][0]["observation"]["image"]
    assert (image["height"], image["width"], image["channels"]) == (64, 64, 3)
    assert len(base64.b64decode(image["pixels"])) == 64 * 64 * 3


def test_the_page_hears_of_damaged_checkpoints(trained):
    dreamer = Dreamer.load(trained / "nested" / "pixels", moments=1)
    dreamer.damaged = ("'\x1b' is damaged.",)
    assert wire.opened("x", dreamer)["damaged"] == [r"'\x1b' is damaged."]


def test_a_dream_is_steered_rewound_and_branched(socket):
    begun = ask(socket, do="begin", moment=0, seed=0)
    assert (begun["now"], begun["time"], begun["parent"]) == (0, 0, None)
    assert begun["truth"]["observation"]["image"] != begun["observation"]["image"]
    first = ask(socket, do="step", action={"action": 2})
    assert (first["now"], first["time"], first["parent"], first["action"]) == (1, 1, 0, {"action": 2})
    assert first["observation"]["image"]["pixels"] != begun["observation"]["image"]["pixels"]
    assert sum(first["policy"]["action"]["probs"]) == pytest.approx(1, abs=1e-4)
    assert ask(socket, do="policy")["time"] == 2
    assert ask(socket, do="go", state=0) == begun | {"size": 3}
    branch = ask(socket, do="step", action={"action": 0})
    assert (branch["now"], branch["parent"]) == (3, 0)
    ask(socket, do="go", state=0)
    real = ask(socket, do="recorded")
    assert real["action"] == begun["recorded"]
    assert real["truth"] is not None


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"do": "open", "run": "../.."}, "not in the folder"),
        ({"do": "open", "run": "nested"}, "There is no run 'nested' here."),
        ({"do": "begin", "moment": 99, "seed": 0}, "moment must be in 0 to 11, got 99"),
        ({"do": "begin", "moment": 0, "seed": -1}, "The seed must be between"),
        ({"do": "begin", "moment": 0, "seed": "0"}, "does not know this request"),
        ({"do": "step", "action": {"action": 3}}, "must be in 0 to 2, got 3"),
        ({"do": "step", "action": {"action": [1]}}, "integers of shape (), got [1]"),
        ({"do": "step"}, "does not know this request"),
        ({"do": "go", "state": -1}, "The state must be in 0 to"),
        ({"do": "fly"}, "does not know this request"),
        ([], "does not know this request"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_dream_goes_on(socket, request_, problem):
    begun = ask(socket, do="begin", moment=1, seed=None)
    socket.send_json(request_)
    answer = socket.receive_json()
    assert answer["type"] == "error"
    assert problem in answer["message"]
    assert ask(socket, do="go", state=0) == begun


def test_what_is_no_request_is_refused(socket):
    for text in ("", "{", "[" * 10_000, "x" * (play.LARGEST + 1)):
        socket.send_text(text)
        assert socket.receive_json()["type"] == "error"
    socket.send_bytes(b"\xff")
    assert socket.receive_json()["type"] == "error"
    assert ask(socket, do="begin", moment=0, seed=0)["type"] == "state"


def test_without_a_run_there_is_no_dream(trained):
    with connect(trained) as socket:
        assert ask(socket, do="begin", moment=0, seed=0)["message"] == "Open a run first."
        assert ask(socket, do="policy")["message"] == "Start a dream first."


def test_a_run_without_a_checkpoint_says_so(written):
    with connect(written) as socket:
        assert "has no checkpoint yet" in ask(socket, do="open", run="a")["message"]


def test_checkpoints_outside_of_the_folder_are_refused(written, trained):
    (written / "a" / "checkpoints").symlink_to(trained / "nested" / "pixels" / "checkpoints")
    with connect(written) as socket:
        assert "not in the folder" in ask(socket, do="open", run="a")["message"]


def test_there_are_not_more_sessions_than_allowed(trained):
    app = make_app(trained, player=Player(trained, sessions=1))
    page = TestClient(app, base_url=HOME)
    for _ in range(2):  # a place that was left is free again
        with page, page.websocket_connect(PLAY, headers={"origin": HOME}) as first:
            assert ask(first, do="policy")["type"] == "error"
            with page.websocket_connect(PLAY, headers={"origin": HOME}) as second:
                with pytest.raises(WebSocketDisconnect) as closed:
                    second.receive_json()
                assert closed.value.code == play.FULL
                assert "Already 1 dream is being played" in closed.value.reason


def test_an_idle_session_ends(trained):
    with connect(trained, idle=0.05) as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == play.ENDED
