"""Whatever a person types, a command answers in a sentence, never with a traceback.

Commands run in this process. Arguments are drawn so that none of them trains: environments do not exist, and folders
hold no run, or a damaged one.
"""

import os
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.cli import main
from reverie.cli.parsing import COMMANDS

ENVIRONMENTS = ["NoSuchEnv-v0", "os:system", "math:pi", "gymnasium:Env", "no.such:x", ":", ".:x", "", "dmc/nothing"]
FOLDERS = ["nowhere", "a_file", "empty", "damaged", "no_object", ".", "", "a_file/below", "bytes-\udcff", "x" * 300]
FILES = ["nowhere.yaml", "list.yaml", "broken.yaml", "binary.yaml", "typo.yaml", "right.yaml", "empty", ""]
WORDS = ["0", "-1", "2", "1e6", "1e21", "1e400", "nan", "-inf", "1.5", "many", "", "auto", "None", "[", "(?P<", "é"]

# Fields of commands, and of nothing else, that name a folder, a file or an environment.
PLACES = dict.fromkeys(("run", "runs", "folder", "logdir", "check", "against"), FOLDERS)
PLACES |= {"config_file": FILES, "env": ENVIRONMENTS}

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
words = st.one_of(st.just("2"), st.sampled_from(WORDS), texts, st.floats().map(str))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[None]:
    """A working folder with the places that arguments name."""
    folder, before = tmp_path_factory.mktemp("fuzz"), os.getcwd()
    (folder / "empty").mkdir()
    for name, content in {"damaged": "{", "no_object": "[1]"}.items():
        (folder / name).mkdir()
        (folder / name / "agent.json").write_text(content)
    contents = {"a_file": b"", "list.yaml": b"- 1", "broken.yaml": b"run: [1", "binary.yaml": b"\xff\x00\xfe"}
    contents |= {"typo.yaml": b"run: {stepz: 1}", "right.yaml": b"train-ratio: 1e1\nsize: size12m"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    os.chdir(folder)
    yield
    os.chdir(before)


def flags_of(kind: type, prefix: str = "--") -> dict[str, list[str] | None]:
    """Every flag of a command, with the values that it should be tried with, or None for any."""
    found: dict[str, list[str] | None] = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            found |= flags_of(hint, prefix if name == "config" else f"{prefix}{name}.")
        else:
            written = "config" if name == "config_file" else name.replace("_", "-")
            found[prefix + written] = PLACES.get(name) if prefix == "--" else None
    return found


@st.composite
def arguments(draw) -> list[str]:
    """A command, what it needs, and some flags, each of them right or wrong."""
    name = draw(st.sampled_from([*COMMANDS, "tran", "--wrong"]))
    flags = flags_of(COMMANDS.get(name, COMMANDS["train"]))
    line = [name]
    if name in ("train", "inspect"):
        line.append(draw(st.sampled_from(ENVIRONMENTS)))
    elif name in ("eval", "resume", "report", "plot"):
        line.append(draw(st.sampled_from(FOLDERS)))
    for flag in draw(st.lists(st.sampled_from([*flags, "--stepz", "-x", "--"]), max_size=draw(st.integers(0, 4)))):
        value = draw(st.sampled_from(flags[flag]) if flags.get(flag) else words)
        line += [flag, value] if draw(st.integers(0, 3)) else [flag]
    if name == "demo":  # would train, and the dashboard would serve
        line += ["--logdir", "a_file"]
    elif name == "dashboard":
        line.insert(1, "nowhere")
    return line


def check(capsys, line: list[str]) -> None:
    """Run a command: any exception but SystemExit, or a status without a sentence, is a failure."""
    capsys.readouterr()
    try:
        main(line)
        status = 0
    except SystemExit as stopped:
        status = stopped.code
    shown = capsys.readouterr()
    assert status in (0, 1, 2)
    assert status == 0 or len(shown.err.split()) > 3, shown
    assert "Traceback" not in shown.err + shown.out


common = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=100, derandomize=True, database=None, **common)
@given(line=arguments())
def test_no_arguments_lead_to_a_traceback(place, capsys, line):
    check(capsys, line)


@pytest.mark.slow
@settings(max_examples=2000, **common)
@given(line=arguments())
def test_no_arguments_lead_to_a_traceback_in_many_examples(place, capsys, line):
    check(capsys, line)
