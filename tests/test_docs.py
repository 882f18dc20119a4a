"""The README and the pages in docs/: Python blocks run, command lines and flags parse, links lead somewhere.

Blocks run as they are, each in a folder of its own that holds one trained run, runs/cartpole. The only substitution is
`short`: whatever config a block trains with, widths, batches and steps are small.
"""

import contextlib
import importlib
import importlib.util
import inspect
import io
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import pytest
import tyro

import reverie
from reverie.cli import main
from reverie.cli.parsing import parse
from reverie.config import BehaviourConfig, Config, ModelConfig
from reverie.envs.functional import JaxEnv
from reverie.training import Trainer, train

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
HISTORY = {"docs/experiments.md", "docs/decisions.md"}  # commands of earlier commits

# Text in a block → the optional packages it needs; without them it is skipped.
NEEDS = {"CarRacing-v3": ("Box2D", "cv2"), "dmc_vision/": ("dm_control",)}

SLOW = ("register_encoder",)  # text in blocks that compile networks of their own

SMALL = ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4)
STEPS = 80  # of the longest run


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int  # of its opening fence
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> Iterator[Block]:
    lines = (ROOT / page).read_text().splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for start, end in zip(fences[::2], fences[1::2], strict=True):
        yield Block(page, start + 1, lines[start].removeprefix("```"), "\n".join(lines[start + 1 : end]) + "\n")


BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
CASES = [
    pytest.param(block, id=str(block), marks=[pytest.mark.slow] if any(text in block.text for text in SLOW) else [])
    for block in PYTHON
]


def commands(page: str) -> Iterator[str]:
    """Every command line of a page, in blocks and in the text."""
    for block in blocks(page):
        if block.language == "sh":
            yield from block.text.replace("\\\n", "").splitlines()
    prose = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose))


def arguments(page: str, program: str) -> list[list[str]]:
    """What the page's command lines pass to a program, those in shell loops included."""
    found = []
    for line in commands(page):
        line = re.sub(r"^for \w+ in .*?; do (.*); done$", r"\1", line).replace("$seed", "0")
        if line.startswith(f"{program} ") and "…" not in line:
            found.append(shlex.split(line.removesuffix(" &"), comments=True)[len(program.split()) :])
    return found


def short(env: Any, config: Config) -> Config:
    """The config for a run of seconds."""
    length = min(config.replay.length, 8)
    return replace(
        config,
        model=replace(SMALL, encoder_keys=config.model.encoder_keys, decoder_keys=config.model.decoder_keys),
        behaviour=BehaviourConfig(imagination_length=3),
        replay=replace(config.replay, batch=2, length=length),
        env=replace(config.env, envs=min(config.env.envs, 2)),
        run=replace(config.run, steps=min(config.run.steps, STEPS), train_ratio=4, log_every=0, dream_every=0),
    )


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Trainer.__init__

    def init(self: Trainer, env: Any, config: Config | None = None, *, steps: int | None = None, **rest: Any) -> None:
        steps = None if steps is None else min(steps, STEPS)
        original(self, env, short(env, config or Config()), steps=steps, **rest)

    monkeypatch.setattr(Trainer, "__init__", init)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("docs")
    config = replace(short("CartPole-v1", Config()), run=replace(Config().run, steps=40, train_ratio=4, log_every=0))
    train("CartPole-v1", config, logdir=folder / "runs" / "cartpole", quiet=True)
    return folder


@pytest.fixture
def workplace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own that shares the finished run, and from which modules are imported."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cartpole").symlink_to(trained / "runs" / "cartpole")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))  # several blocks are modules of the same name
    return tmp_path


@pytest.mark.parametrize("block", CASES)
def test_a_python_block_runs(block, workplace):
    missing = [
        package
        for text, packages in NEEDS.items()
        if text in block.text
        for package in packages
        if importlib.util.find_spec(package) is None
    ]
    name = re.match(r"# (\w+)\.py\n", block.text)
    if name is None:
        code = compile("\n" * block.line + block.text, str(ROOT / block.page), "exec")
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")
        exec(code, {"__name__": "__main__"})
        return
    (workplace / f"{name[1]}.py").write_text(block.text)
    module = importlib.import_module(name[1])
    if missing:
        pytest.skip(f"imported; to make its environment needs {', '.join(missing)}")
    step_environments(module)


def step_environments(module: Any) -> None:
    """Make what a module offers to train on, and take a step."""
    factories = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and (inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, gym.Env | JaxEnv)))
    ]
    for factory in factories:
        env = reverie.make_env(f"{module.__name__}:{factory}")
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()


def test_blocks_that_are_skipped_or_slow_exist():
    assert all(any(text in block.text for block in PYTHON) for text in (*NEEDS, *SLOW))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_command_lines_parse(page):
    for words in arguments(page, "reverie"):
        if "--help" in words:
            assert parsed_help(*words)
        else:
            parse(words)
    for words in arguments(page, "python -m"):
        if words[0].startswith("benchmarks."):
            package = importlib.util.find_spec(words[0]).submodule_search_locations
            module = importlib.import_module(f"{words[0]}.__main__" if package else words[0])
            tyro.cli(module.Settings, args=words[1:])


def parsed_help(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 0
    return out.getvalue()


def test_flags_in_the_text_exist():
    shown = "".join(parsed_help(command, "--help") for command in reverie_commands())
    known = set(re.findall(r"--[\w.-]+", shown))
    for page in ("README.md", "docs/how-to.md", "docs/metrics.md", "docs/dashboard.md"):
        named = {span.split()[0] for span in commands(page) if span.startswith("--")}
        unknown = {flag for flag in named - known if not any(one.startswith(f"{flag}.") for one in known)}
        assert not unknown, page


def reverie_commands() -> list[str]:
    return re.search(r"\{([\w,-]+)\}", parsed_help("--help"))[1].split(",")


def test_extras_and_make_targets_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for page in PAGES:
        text = (ROOT / page).read_text()
        for found in re.findall(r"(?:reverie|\.)\[([\w,-]+)\]['\"`]", text):
            assert set(found.split(",")) <= set(extras), page
        if page not in HISTORY:
            assert {words[0] for words in arguments(page, "make")} <= set(targets), page


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_map_of_the_algorithm_names_code_that_exists():
    """Files in the text exist, and each defines the names that follow it; a name alone is defined somewhere."""
    package = ROOT / "src" / "reverie"
    everything = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for page in ("docs/algorithm.md", "README.md"):
        text = (ROOT / page).read_text()
        for path in re.findall(r"`([\w/]+(?:\.py|/))`", text):
            assert (package / path).exists() or (ROOT / path).exists(), path
        for path, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text):
            for name in re.findall(r"[\w.]+", names):
                assert defines((package / path).read_text(), name), f"{path}: {name}"
        for name in re.findall(r"`([A-Z]\w+\.\w+)`", text):
            assert defines(everything, name), name


def defines(code: str, name: str) -> bool:
    """Whether the code has a definition of each part of a dotted name."""
    return all(re.search(rf"^\s*((def|class) {part}\b|{part}( =|:))", code, re.M) for part in name.split("."))


def test_the_quick_start_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    lines = [words for words in arguments("README.md", "reverie") if words[0] not in ("demo", "dashboard", "suites")]
    start = next(index for index, words in enumerate(lines) if words[0] == "train")
    for words in lines[start : start + 5]:
        main(words)
    assert [words[0] for words in lines[start : start + 5]] == ["train", "inspect", "resume", "eval", "plot"]
    assert (tmp_path / "cartpole.mp4").exists()
    assert (tmp_path / "curves.png").exists()
