"""What a run prints."""

import builtins
import re
import sys
import time
from types import ModuleType

import pytest

from reverie.training.clock import Clock
from reverie.training.display import Display, grid
from reverie.training.episodes import Episodes
from reverie.training.report import Report


def test_names_from_environments_and_folders_can_not_control_the_terminal(capsys):
    display = Display(10)
    display.note("run 'a\x1b[2J'\nits second line")
    display.warn("key 'b\x07' [bold]is odd[/]")
    display.note(grid([("c\x1b]0;title\x07", "d\x9b1m")]))
    display.close()
    printed = capsys.readouterr().out
    assert "run 'a\\x1b[2J'\nits second line\n" in printed
    assert "key 'b\\x07' [bold]is odd[/]" in printed
    assert "c\\x1b]0;title\\x07" in printed
    assert not set(printed) & {"\x1b", "\x07", "\x9b"}


@pytest.mark.parametrize("resumed", [0, 5])  # updates before this process
def test_the_time_left_is_that_of_steps_with_updates_and_without_compiling(monkeypatch, capsys, resumed):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    report = Report(Display(1000), None, Clock(), 1000, 0, resumed, ".*")
    left = []
    for seconds, steps, updates, missing in (
        (1, 100, 0, 20),  # fast, while replay is filled
        (2, 120, 0, 0),  # the next step compiles
        (62, 125, 1, 0),  # compiled
        (72, 135, 2, 0),  # 1 step per second
        (92, 165, 3, 0),  # 1.33 steps per second since updates began
        (93, 165, 3, 0),
    ):
        now[0] = seconds
        report.write(steps, report.row(steps, resumed + updates, {}), Episodes(1), 0 if resumed else missing)
        left += re.findall(rf"step {steps} of 1,000 \((.*)\), {resumed + updates} update", capsys.readouterr().out)
    waiting = "measuring the pace" if resumed else "waiting for 20 more records, then updates begin"
    assert left[:3] == [waiting, "measuring the pace", "measuring the pace"]
    assert left[3:] == ["about 0:14:25 left", "about 0:10:26 left", "about 0:10:47 left"]


def test_a_run_without_updates_has_a_pace_at_once(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    report = Report(Display(1000), None, Clock(), 1000, 0, 0, ".*")
    for steps in (10, 20):
        now[0] += 1
        report.write(steps, report.row(steps, 0, {}), Episodes(1), None)
    assert "about 0:01:38 left" in capsys.readouterr().out


class ZMQInteractiveShell:
    """What rich recognizes a notebook by."""


class Handle:
    """An output of a notebook's cell, which can be updated."""

    def __init__(self, shown):
        self.shown = [shown]

    def update(self, shown):
        self.shown.append(shown)


def test_in_a_notebook_one_output_is_updated_in_place(monkeypatch):
    """Without IPython; `test_notebook` runs a real one."""
    outputs = []

    def display(shown, display_id=None):
        outputs.append(Handle(shown))
        return outputs[-1]

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    shown = Display(1000)
    report = Report(shown, None, Clock(), 1000, 0, 0, ".*")
    shown.note("before")
    shown.start()
    for steps in range(1, 6):
        report.write(steps, report.row(steps, 0, {}), Episodes(1), 3)
    shown.close()
    shown.note("after")
    before, live, after = outputs
    assert len(live.shown) == 1 + 5
    assert len(before.shown) == len(after.shown) == 1
