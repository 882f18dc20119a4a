"""The command line: training and evaluation in a separate process, help and errors in this one."""

import os
import subprocess
import sys
import warnings
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from jax.errors import JaxRuntimeError

import reverie as reverie_package
from reverie.agent import read_description
from reverie.cli import main
from reverie.cli.messages import explained, plain_warnings
from reverie.cli.parsing import COMMANDS, parse
from reverie.cli.texts import texts_of
from reverie.cli.train import _folder
from reverie.config import SHORT, Config
from reverie.errors import InputError

SETTINGS = {
    "model.deter": 16,
    "model.hidden": 8,
    "model.depth": 2,
    "model.units": 16,
    "model.groups": 4,
    "model.blocks": 4,
    "behaviour.imagination-length": 3,
    "replay.batch": 2,
    "replay.length": 8,
    "envs": 2,
    "train-ratio": 4,
    "log-every": 0,
    "dream-every": 0,
    "steps": 80,
}
TINY = [f"--{name}={value}" for name, value in SETTINGS.items()]


def status(*arguments: str) -> int:
    """The exit status of a command that runs in this process."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code


def said(capsys) -> str:
    """What a command wrote to stderr, on one line and without frames; fails on a traceback."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return " ".join(text.replace("│", " ").split())


def reverie(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return python("-m", "reverie", *arguments, cwd=cwd)


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "COLUMNS": "200"},
        check=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    result = reverie("train", "CartPole-v1", "--logdir", "runs/cartpole", *TINY, cwd=folder)
    assert result.returncode == 0, result.stderr
    for promised in (
        "observes",
        "vector: 4 numbers → vector trunk",
        "action: one of 2 classes",
        "parameters",
        "bytes per step",
    ):
        assert promised in result.stdout
    assert "updates/s" in result.stdout
    return folder


def test_train_leaves_a_run_that_eval_plays(run):
    flags = ["--episodes", "3", "--video", "film.mp4", "--envs", "2", "--max-steps", "1e3", "--env", "gym/CartPole-v1"]
    result = reverie("eval", "runs/cartpole", *flags, cwd=run)
    assert result.returncode == 0, result.stderr
    assert "over 3 episodes" in result.stdout
    assert (run / "film.mp4").stat().st_size > 1000


@pytest.mark.parametrize("example", ["act.py", "dream.py"])
def test_examples_run_as_they_stand(run, example):
    script = Path(__file__).parents[1] / "examples" / example
    result = python(str(script), "runs/cartpole", "CartPole-v1", cwd=run)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_the_curve_example_draws_a_picture(run):
    script = Path(__file__).parents[1] / "examples" / "plot_curve.py"
    result = python(str(script), "runs/cartpole", "curve.png", cwd=run)
    assert result.returncode == 0, result.stderr
    assert (run / "curve.png").stat().st_size > 1000


def test_plot_and_report_show_a_run(run):
    result = reverie("plot", "runs/cartpole", "--out", "pictures/curves.png", cwd=run)
    assert result.returncode == 0, result.stderr
    assert "CartPole-v1" in result.stdout
    assert "The picture is in 'pictures/curves.png', its numbers are in 'pictures/curves.csv'" in result.stdout
    assert (run / "pictures" / "curves.png").stat().st_size > 1000
    page = run / "runs" / "cartpole" / "report.html"
    page.unlink()  # that of the run's end
    result = reverie("report", "runs/cartpole", cwd=run)
    assert result.returncode == 0, result.stderr
    assert "<svg" in page.read_text()


def test_inspect_and_suites_say_what_there_is(tmp_path):
    shown = reverie("inspect", "CartPole-v1", "--size", "size12m", "--replay.length", "128", cwd=tmp_path).stdout
    assert "vector: 4 numbers → vector trunk" in shown
    assert "deter 2048" in shown
    assert "16 × 128 steps" in shown
    listed = reverie("suites", cwd=tmp_path).stdout
    assert "atari100k/pong" in listed
    assert "dmc_vision" in listed
    assert not any(tmp_path.iterdir())


def test_resume_continues_with_the_runs_own_settings(run):
    result = reverie("resume", "runs/cartpole", "--steps", "100", "--log-every", "0", cwd=run)
    assert result.returncode == 0, result.stderr
    assert "Resuming at 8" in result.stdout
    assert "of 100" in result.stdout
    assert "Done after 10" in result.stdout  # two environments step past the mark together


def test_a_factory_in_the_working_directory(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import gymnasium\n\ndef make(**kwargs):\n    return gymnasium.make('CartPole-v1')\n"
    )
    result = reverie("inspect", "mine:make", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "vector: 4 numbers" in result.stdout


def test_the_default_folder_has_the_environments_name():
    names = {"CartPole-v1": "CartPole-v1", "mine:make": "mine-make", "dmc/walker_walk": "dmc-walker_walk"}
    assert {name: _folder(name).name for name in names} == names


def test_the_prefix_of_gymnasium_changes_nothing(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    main(["train", "gym/CartPole-v1", "--logdir", "runs/cartpole", *TINY])
    assert "This run already has" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tran"], "There is no command 'tran'; did you mean 'train'?"),
        (["CartPole-v1"], "There is no command 'CartPole-v1'. The commands are train, resume"),
        (["train", "CartPole-v1", "--lr", "1"], "There is no --lr; did you mean --optimizer.learning-rate?"),
        (["resume", "runs/x", "--num_envs=3"], "There is no --num_envs; did you mean --envs?"),
        (["train", "--env", "CartPole-v1"], "named without a flag: reverie train CartPole-v1"),
        (["train", "CartPole-v1", "--steps", "many"], "expected an integer, got 'many'"),
        (["train", "CartPole-v1", "--steps", "0"], "--steps must be at least 1, got 0"),
        (["train", "CartPole-v1", "--train-ratio", "nan"], "--train-ratio must be a finite number, got nan"),
        (["train", "CartPole-v1", "--replay.batch", "0"], "replay.batch must be between 1 and 65536, got 0"),
        (["train", "CartPole-v1", "--seed", "-1"], "seed must be between 0 and 2147483647, got -1"),
        (["train", "CartPole-v1", "--seed", "100000000000000000000"], "seed must be between 0 and 2147483647"),
        (["train", "CartPole-v1", "--replay-capacity", "1e21"], "--replay-capacity must be at most 2^53"),
        (["train", "CartPole-v1", "--size", "size2m"], "size1m"),
        (["train", "CartPole-v1", "--stepz", "4"], "run reverie train --help"),
        (["train", "CartPole-v1", "--config", "nowhere.yaml"], "'nowhere.yaml' cannot be read"),
        (["eval", "runs/cartpole", "--checkpoint", "oldest"], "--checkpoint"),
        (["eval", "runs/cartpole", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["dashboard", "--port", "65536"], "--port must be between 0 and 65535, got 65536"),
    ],
)
def test_wrong_usage_is_explained_in_a_sentence(capsys, arguments, sentence):
    assert status(*arguments) == 2
    assert sentence in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "CartPool-v1"], "did you mean 'CartPole-v1'"),
        (["inspect", "os:system"], "was not called"),
        (["inspect", "gymnasium:Env"], "without observation_space"),
        (["inspect", ".:make"], "is a relative import"),
        (["inspect", "./mine.py:make"], "is a path; give the module's name, as an import statement has it: 'mine:FUN"),
        (["inspect", "mine.py"], "for a function in this file, write 'mine:FUNCTION'"),
        (["inspect", "CartPole-v1", "--encoder-keys", "nomatch"], "matches no observation"),
        (["inspect", "CartPole-v1", "--keys", "("], "keys"),
        (["report", "bytes-\udcff"], "bytes-"),
        (["train", "CartPole-v1", "--replay-memory", "9MB"], "Keep fewer"),
        (["plot", "nowhere"], "There is no run in nowhere"),
        (["report", "nowhere"], "There is no run in nowhere"),
        (["plot", "runs/cartpole", "--metric", "los"], "There is no 'los' in runs/cartpole; there are adv"),
        (["train", "CartPole-v1", "--replay-memory", "lots"], "a size such as"),
        (["eval", "nowhere"], "There is no agent in"),
        (["resume", "nowhere"], "There is no run in 'nowhere'; start one with: reverie train"),
        (["train", "CartPole-v1", "--logdir", "new", "--resume", "must"], "There is no run to resume in 'new'"),
        (["train", "CartPole-v1", "--logdir", "runs/cartpole", *TINY, "--resume", "never"], "already holds a run"),
        (["train", "CartPole-v1", "--logdir", "runs/cartpole", *TINY, "--seed", "9"], "seed: 0 → 9"),
        (["eval", "runs/cartpole", "--env", "Pendulum-v1"], "The agent was trained for"),
        (["eval", "runs/cartpole", "--checkpoint", "best"], "no best checkpoint"),
        (["eval", "runs/cartpole", "--checkpoint", "7"], "no checkpoint of 7 environment steps"),
        (["resume", "runs/cartpole", "--checkpoint", "7"], "no checkpoint of 7 environment steps"),
        (["resume", "runs/cartpole", "--logdir", "runs"], "runs' is not empty; choose a new folder"),
        (["train", "CartPole-v1", "--from", "runs/cartpole", "--checkpoint", "best"], "no best checkpoint"),
        (["train", "CartPole-v1", "--checkpoint", "7"], "reverie resume RUN --checkpoint STEP"),
    ],
)
def test_errors_are_explained_in_a_sentence(run, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(run)
    assert status(*arguments) == 1
    assert sentence in said(capsys)


def test_a_run_can_be_repeated_from_its_config(run):
    """A flag and the size override the file; the file overrides the defaults of the environment's suite."""
    file = run / "runs" / "cartpole" / "config.yaml"
    command = parse(["train", "crafter", "--config", str(file), "--size", "size12m", "--replay.batch", "3"])
    config = read_description(file.with_name("agent.json"))[1]
    assert (config.run.steps, config.run.train_ratio, config.env.envs) == (80, 4, 2)
    assert command.config == config.override(size="size12m", **{"replay.batch": 3})


def test_flags_are_checked_together_with_the_file_that_they_override(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text("model: {deter: 16, blocks: 4}")
    arguments = ["train", "CartPole-v1", "--config", str(tmp_path / "small.yaml"), "--model.deter"]
    assert parse([*arguments, "12"]).config.model.deter == 12  # 8 blocks, the default, would not divide it
    assert status(*arguments, "10") == 2
    assert "model.deter (10) must be a multiple of model.blocks (4)" in said(capsys)


def test_ctrl_c_has_an_exit_status_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "interrupting.py").write_text("def make():\n    raise KeyboardInterrupt\n")
    monkeypatch.chdir(tmp_path)
    assert status("inspect", "interrupting:make") == 130


def test_an_environments_own_errors_keep_their_traceback(tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text("def make():\n    raise ZeroDivisionError\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        main(["inspect", "failing:make"])


def test_errors_are_explained_with_their_short_notes():
    error, environments = InputError("No."), OSError(5, "I/O error", "x")
    error.add_note("It was not saved.")
    error.add_note("-----\nFor simplicity")
    assert explained(error) == "No. It was not saved."
    assert explained(environments) == "I/O error: 'x'."
    environments.add_note("Raised by environment 3; 10 of 10 restarts were used.")
    assert explained(environments) is None
    assert "--size" in explained(MemoryError())
    assert "--size" in explained(JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes."))
    assert explained(JaxRuntimeError("INTERNAL: a bug")) is explained(ValueError("a bug")) is None


def test_reveries_warnings_are_printed_as_sentences(capsys):
    class Own(UserWarning):
        __module__ = "reverie.somewhere"

    with plain_warnings():
        warnings.warn("The disk is slow.", Own, stacklevel=1)
    with pytest.warns(UserWarning, match="other"), plain_warnings():
        warnings.warn("other", stacklevel=1)
    assert capsys.readouterr().err == "Warning: The disk is slow.\n"


def test_a_deleted_working_folder_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    status("suites")
    assert "The working folder has been deleted" in said(capsys)


def test_output_that_nobody_reads_ends_the_command_quietly(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as stdout:
        result = subprocess.run([sys.executable, "-m", "reverie", "suites"], stdout=stdout, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (1, b"")


def test_jax_without_devices_is_explained(tmp_path):
    result = python("-c", UNAVAILABLE, cwd=tmp_path)
    assert result.stderr.startswith("Error: JAX finds no device to compute on, as JAX_PLATFORMS is 'rocm': unset it")
    assert result.returncode == 1


UNAVAILABLE = """
import os
os.environ["JAX_PLATFORMS"] = "rocm"
from reverie.cli import main
main(["inspect", "CartPole-v1"])
"""


def test_version_and_help_name_what_there_is(capsys):
    assert status("--version") == 0
    assert capsys.readouterr().out == f"reverie {reverie_package.__version__}\n"
    assert status("--help") == 0
    shown = capsys.readouterr().out
    assert "Exit status: 0 done; 1 an error" in shown
    assert status("train", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "--optimizer.warmup INT Updates over which the learning rate rises linearly from 0. (default: 1000" in shown
    assert "ENV" in shown


def test_every_flag_has_a_text():
    """Every field of every command and of every group of settings."""
    kinds = [*COMMANDS.values(), *(type(group) for group in vars(Config()).values() if is_dataclass(group)), Config]
    fields_of = {kind: set(kind.__dataclass_fields__) for kind in kinds}
    groups = {name for name, value in vars(Config()).items() if is_dataclass(value)} | {"config"}
    missing = {kind.__name__: names - set(texts_of(kind)) - groups - set(SHORT) for kind, names in fields_of.items()}
    assert not {name: names for name, names in missing.items() if names}
