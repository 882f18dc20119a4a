"""The report page of a run, whatever the run holds."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from reverie.config import Config, config_to_dict
from reverie.results import Run, write_report
from reverie.results.report import _running_mean

HOSTILE = '<script>alert("x")</script>&"\''
EPISODES = [{"step": 7 * i, "episode/return": float(i), "episode/length": 7.0} for i in range(1, 40)]
ROW = {
    "step": 273,
    "updates": 31.0,
    "rate/env_steps": 4.0,
    "time/env": 0.25,
    "time/learn": 0.5,
    "memory/host_bytes": 2e9,
}


def write_run(path: Path, rows, *, env: str | None = "CartPole-v1", config: Config | None = None) -> Path:
    path.mkdir(parents=True)
    (path / "agent.json").write_text(json.dumps({"env": env, "config": config_to_dict(config or Config())}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Page(HTMLParser):
    """Checks that tags are closed in order; collects tags, links and text."""

    VOID = ("meta", "img", "line", "rect", "circle", "polyline")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.links, self.text = list[str](), list[str](), list[str](), ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def page(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_says_what_was_learned_and_what_to_do(tmp_path):
    config = replace(Config(), seed=3, run=replace(Config().run, steps=273))
    found = page(write_run(tmp_path / "run", [*EPISODES, ROW], config=config))
    for words in (
        "CartPole-v1",
        "273",
        "finished",
        "29.5",
        "learn 50.0%",
        "other 25.0%",
        "1.863 GiB",
        "1 min 8 s",
        "seed",
        "run.steps",
    ):
        assert words in found.text
    assert f"reverie resume {tmp_path}/run --steps 546" in found.text
    assert found.tags.count("polyline") == 1
    assert not [link for link in found.links if "://" in link]  # it needs no network
    assert "script" not in found.tags


def test_dreams_are_put_into_the_page_or_linked_if_they_are_large(tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.results.report.LARGEST", 100)
    folder = write_run(tmp_path / "run", [*EPISODES, ROW])
    (folder / "dreams").mkdir()
    for name, content in {
        "000000000007.png": b"old",
        "000000000007.json": b"{}",
        "000000000070.json": b'{"error": {"image": [1.5, null, 2.25], "rew": "damaged"}}',
        "000000000070.png": b"curves",
        "000000000070-image.mp4": b"film",
        "000000000070-large.mp4": bytes(101),
    }.items():
        (folder / "dreams" / name).write_bytes(content)
    found = page(folder)
    assert "data:video/mp4;base64,ZmlsbQ==" in found.links
    assert "data:image/png;base64,Y3VydmVz" in found.links
    assert "dreams/000000000070-large.mp4" in found.links
    assert len(found.links) == 3
    (folder / "dreams" / "000000000070.json").write_text('{"error": {"image": [1.5, null, 2.25], "rew": [1.0]}}')
    text = page(folder).text
    assert "2.25" in text
    assert "image decoding this observation; rew predicting the reward, in nats" in text


def test_nothing_that_a_run_is_named_becomes_part_of_the_page(tmp_path):
    folder = write_run(tmp_path / HOSTILE.replace("/", "|"), [*EPISODES, ROW | {f"time/{HOSTILE}": 0.1}], env=HOSTILE)
    (folder / "dreams").mkdir()
    (folder / "dreams" / "000000000070.json").write_text(json.dumps({"error": {HOSTILE: [1.0]}}))
    (folder / "dreams" / "000000000070-<b>&.png").write_bytes(b"")
    found = page(folder)
    assert not {"script", "b>"} & set(found.tags)
    assert found.text.count("alert") == 5 + 5  # title, heading, time, loss and its legend; the path and the commands


def test_the_page_names_machine_and_versions(tmp_path):
    folder = write_run(tmp_path / "run", EPISODES)
    assert "Machine and versions" not in page(folder).text  # nothing is recorded yet
    (folder / "checkpoints").mkdir()
    meta = {"versions": {"reverie": "1.2.3", "jax": None}, "machine": {"device": "TPU <9>"}}
    (folder / "checkpoints" / "000000000273.json").write_text(json.dumps({"meta": meta}))
    (folder / "checkpoints" / "000000000300.json").write_text("damaged")
    text = page(folder).text
    assert "reverie1.2.3" in text
    assert "TPU <9>" in text
    (folder / "run.json").write_text(json.dumps({"machine": {"devices": ["H100", "H100"]}, "host": "x"}))
    assert "devicesH100, H100" in page(folder).text


@pytest.mark.parametrize("value", [1e17, -1e300, 1e300, 5e-324, 1e308, 10**400, float("nan"), float("inf"), "x", None])
def test_values_of_any_size_have_a_page(tmp_path, value):
    rows = [row | {"episode/return": value} for row in EPISODES] + [dict.fromkeys(ROW, value) | {"step": 273}]
    folder = write_run(tmp_path / "run", rows)
    (folder / "dreams").mkdir()
    (folder / "dreams" / "000000000070.json").write_text(json.dumps({"error": {"image": [value]}}))
    assert "h1" in page(folder).tags


def test_one_huge_return_does_not_hide_the_others(tmp_path):
    rows = [{"step": i, "episode/return": 1e17 if i == 1 else 2.0} for i in range(1, 40)]
    series = Run.read(write_run(tmp_path / "run", rows)).series("episode/return")[1]
    assert _running_mean(series, 10, np.array([38])) == [2.0]


FIRST = {"step": 0, "episode/return": 1}


@pytest.mark.parametrize("rows", [[], [FIRST], EPISODES[:1], [ROW], [FIRST | {"episode/return": None}]])
def test_a_run_that_has_hardly_begun_has_a_page(tmp_path, rows):
    assert "h1" in page(write_run(tmp_path / "run", rows, env=None)).tags


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="There is no run in"):
        write_report(tmp_path)
    assert not any(tmp_path.iterdir())
