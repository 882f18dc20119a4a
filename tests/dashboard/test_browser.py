"""The page in a real browser, next to a training run in progress."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reverie.config import Config
from reverie.training import train

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives the browser")

expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SLOWNESS = 3  # of a busy machine, compared with the 2 s and 200 ms of an idle one
PATIENCE = 240_000  # milliseconds: what is compiled the first time takes long on a busy machine

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

TRAIN = "--model.deter 16 --model.hidden 8 --model.classes 4 --model.depth 2 --model.units 16 --model.groups 4 "
TRAIN += (
    "--model.blocks 4 --behaviour.imagination-length 3 --replay.batch 2 --replay.length 8 --envs 2 --train-ratio 1 "
)
TRAIN += "--run.log-every 0.2 --run.checkpoint-every 1 --steps 50000"


@contextmanager
def command(*arguments: str, cwd: Path, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen]:
    """Run `reverie …` until the end of the block."""
    source = str(Path(__file__).parents[2] / "src")
    process = subprocess.Popen(
        [sys.executable, "-m", "reverie", *arguments],
        cwd=cwd,
        stdout=stdout,
        text=True,
        env=os.environ | {"PYTHONPATH": source, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def address(trained, tmp_path_factory) -> Iterator[str]:
    """The address of a dashboard that shows a finished run and one that trains from pixels."""
    folder = tmp_path_factory.mktemp("browser")
    shutil.copytree(trained, folder / "runs")
    (folder / "secret").write_text("secret")
    with (
        command("dashboard", "--port", "0", cwd=folder) as dashboard,
        command(
            "train", "reverie/Catch-v0", "--logdir", "runs/live", *TRAIN.split(), cwd=folder, stdout=subprocess.DEVNULL
        ) as training,
    ):
        found = re.search(r"http://127\.0\.0\.1:\d+/", dashboard.stdout.readline())
        assert found
        yield found[0]
        assert training.poll() is None, "training ended before the tests did"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    with sync_api.sync_playwright() as playwright:
        profile = str(tmp_path_factory.mktemp("profile"))
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=FLAGS
        )
        yield context
        context.close()


@pytest.fixture
def page(browser) -> Iterator:
    page, errors = browser.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


def open_dream(page, address: str) -> None:
    page.goto(f"{address}#dream=nested%2Fpixels")
    page.wait_for_selector("#player:not([hidden])")


def frame(page) -> str:
    return page.evaluate("document.querySelector('.dreamed canvas').toDataURL()")


def test_curves_appear_and_grow_while_training_runs(page, address):
    page.goto(address)
    page.locator("summary", has_text="Replay buffer").click()
    chart = page.locator("article", has=page.get_by_text("Records in the replay buffer", exact=True)).locator(".chart")
    expect(chart).to_have_attribute("aria-label", re.compile("Records"), timeout=PATIENCE)  # it is drawn
    before = chart.get_attribute("aria-label")
    expect(chart).not_to_have_attribute("aria-label", before, timeout=PATIENCE)
    expect(chart).to_have_attribute(
        "aria-label", re.compile("live: .*; .*pixels: |pixels: .*; .*live: "), timeout=PATIENCE
    )
    page.get_by_role("checkbox", name="pixels").uncheck()
    expect(chart).not_to_have_attribute("aria-label", re.compile("pixels"))
    page.get_by_role("checkbox", name="live", exact=True).uncheck()
    page.wait_for_selector("#no-curves:not([hidden])")
    page.get_by_role("checkbox", name="live", exact=True).check()
    chart.wait_for()
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#spoken")).to_have_text(re.compile("^environment steps .*live"))


def test_a_dream_is_steered_through_ten_actions(page, address):
    open_dream(page, address)
    seen = {frame(page)}
    for step in range(1, 11):
        page.get_by_role("button", name=f"action {step % 3}").click()
        expect(page.locator(".dreamed figcaption span")).to_have_text(f"step {step}", timeout=PATIENCE)
        seen.add(frame(page))
    assert len(seen) == 11
    spoken = page.locator("#spoken").text_content()
    assert re.fullmatch(r"Step 10: reward .*, value .*, continues with \d+%", spoken)


def test_the_keyboard_rewinds_and_branches(page, address):
    open_dream(page, address)
    steps = page.locator(".dreamed figcaption span")
    tree = page.locator("#tree")
    tree.focus()
    for step, key in enumerate(("3", "3", "1"), start=1):
        page.keyboard.press(key)
        expect(steps).to_have_text(f"step {step}", timeout=PATIENCE)
    before = frame(page)
    for step in (2, 1):
        page.keyboard.press("ArrowLeft")
        expect(steps).to_have_text(f"step {step}")
    page.keyboard.press("1")
    expect(steps).to_have_text("step 2")
    expect(tree.locator("circle")).to_have_count(5)
    page.keyboard.press("ArrowUp")  # the other branch, at the same time
    page.keyboard.press("ArrowRight")
    expect(steps).to_have_text("step 3")
    assert frame(page) == before


def test_the_policy_drives_and_reality_is_followed(page, address):
    open_dream(page, address)
    steps = page.locator(".dreamed figcaption span")
    page.get_by_label("The policy").check()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(steps).to_have_text(re.compile(r"step (\d\d+|[5-9])"), timeout=PATIENCE)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="To the start").click()
    expect(steps).to_have_text("step 0")
    page.get_by_label("The recording").check()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".real figcaption span")).to_have_text("the episode ended", timeout=PATIENCE)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_disabled()


def test_an_older_checkpoint_is_shown_and_named_if_the_newest_is_damaged(page, trained, tmp_path):
    run = tmp_path / "runs" / "a"
    shutil.copytree(trained / "nested" / "pixels", run)
    train("reverie/Catch-v0", Config.from_file(run / "config.yaml"), steps=80, logdir=run, quiet=True)
    newest = max((run / "checkpoints" / "arrays").glob("networks-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with command("dashboard", "--port", "0", cwd=tmp_path) as dashboard:
        address = re.search(r"http://127\.0\.0\.1:\d+/", dashboard.stdout.readline())[0]
        page.goto(f"{address}#dream=a")
        page.wait_for_selector("#player:not([hidden])")
        status = page.locator("#dream-status")
        expect(status).to_have_text(
            re.compile(r"^The agent after 60 environment steps\. A newer checkpoint is damaged: ")
        )
        expect(status).to_have_text(re.compile(f"{newest.name}' is [\\d,]+ bytes long, expected"))


def test_what_goes_wrong_is_a_sentence(page, address):
    page.goto(f"{address}#dream=..%2F..")
    expected = re.compile(r"is not in the folder that the dashboard shows\.$")
    expect(page.locator("#dream-status")).to_have_text(expected, timeout=PATIENCE)


def test_files_outside_are_refused_and_so_are_foreign_pages(page, browser, address):
    page.goto(address)
    for path in ("static/../../secret", "static/%2e%2e/%2e%2e/secret", "film?run=live&name=../../../secret"):
        status, text = page.evaluate(
            "async (path) => { const a = await fetch(path); return [a.status, await a.text()]; }", path
        )
        assert status == 404
        assert text != "secret"
    page.goto("data:text/html,<title>foreign</title>")
    connect = "(to) => new Promise((done) => { const s = new WebSocket(to); s.onclose = (e) => done(e.code); })"
    code = page.evaluate(connect, address.replace("http", "ws") + "play")
    assert code == 1006  # the handshake itself was refused
    assert not page.evaluate("(to) => fetch(to).then(() => true, () => false)", f"{address}api/runs")


STATES = {"live": "live", "nested/pixels": "finished"}


def test_runs_are_searched_ticked_and_compared(page, address):
    page.goto(address)
    for name, state in STATES.items():
        item = page.locator(".run", has=page.get_by_role("checkbox", name=name, exact=True))
        expect(item.locator(".state")).to_have_text(state)
    page.get_by_role("button", name="None").click()
    expect(page.locator("#count")).to_have_text("0 of 2 shown")
    page.get_by_role("searchbox").fill("catch FINISHED")
    expect(page.locator(".run")).to_have_count(1)
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("#count")).to_have_text("1 of 2 shown, 1 found")
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="All", exact=True).click()
    page.locator("#differences summary").click()
    expect(page.locator("#differences thead")).to_contain_text("run.train_ratio")
    expect(page.locator("#differences tbody tr")).to_have_count(2)


def test_charts_are_saved_and_read_in_other_units(page, address):
    page.goto(address)
    card = page.locator("article", has=page.get_by_text("Return of training episodes", exact=True))
    card.wait_for()
    with page.expect_download() as numbers:
        card.get_by_role("button", name="as CSV").click()
    assert Path(numbers.value.path()).read_text().startswith("series,environment steps,value,low,high\n")
    with page.expect_download() as picture:
        card.get_by_role("button", name="as PNG").click()
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
    page.locator("#axis").select_option("updates")
    expect(card.locator(".chart")).to_have_attribute("aria-label", re.compile("over updates"))
    page.locator("#log").check()
    card.locator(".chart").hover()
    box = page.locator(".tip:visible").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.viewport_size["width"]


def test_nothing_is_asked_of_the_network(page, address):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator(".card").first.wait_for()
    assert len(asked) > 5
    assert all(url.startswith((address, "data:")) for url in asked)


@pytest.fixture(scope="module")
def sixty(tmp_path_factory) -> Iterator[str]:
    """The address of a dashboard that shows sixty runs: two environments, three settings, ten seeds."""
    folder = tmp_path_factory.mktemp("sixty")
    model = {"deter": 16, "groups": 4, "classes": 4}
    names = [f"loss/{name}" for name in "abcdefghijklmnopqrst"]
    for number in range(60):
        run = folder / f"{number:02d}"
        run.mkdir()
        config = {"model": model | {"units": number // 10 % 3}, "run": {"steps": 100}, "seed": number % 10}
        (run / "agent.json").write_text(json.dumps({"env": f"E{number // 30}", "config": config}))
        rows = [{"step": step, "episode/return": number + step} | dict.fromkeys(names, step) for step in range(500)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with command("dashboard", str(folder), "--port", "0", cwd=folder) as dashboard:
        yield re.search(r"http://127\.0\.0\.1:\d+/", dashboard.stdout.readline())[0]


def test_sixty_runs_are_drawn_at_once(page, sixty):
    page.goto(sixty)
    page.locator(".card").first.wait_for()
    begun = time.monotonic()
    page.get_by_role("button", name="All", exact=True).click()
    returns = page.locator("article", has=page.get_by_text(re.compile("^Return of training episodes · E[01]$")))
    expect(returns).to_have_count(2)  # environments don't share an axis
    for env, card in enumerate(returns.all()):
        expect(card.locator(".chart")).to_have_attribute("aria-label", re.compile(rf"(E{env}.*\(10 runs\).*){{3}}"))
        expect(card.locator(".names > span")).to_have_count(3)  # a line for each group, not for each run
    assert time.monotonic() - begun < 2 * SLOWNESS
    page.locator("#middle").select_option("runs")
    expect(returns.first.locator(".chart")).to_have_attribute("aria-label", re.compile("And 18 more"))
    page.locator("summary", has_text="Losses").click()
    smooth = "(s) => { const t = performance.now(); s.value = %s; s.dispatchEvent(new Event('input')); "
    measure = smooth + "return performance.now() - t; }"
    times = [page.locator("#smoothing").evaluate(measure % weight) for weight in (0.1, 0.5, 0.9)]
    assert min(times) < 200 * SLOWNESS, times
