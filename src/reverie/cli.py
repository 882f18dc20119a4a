"""The command line, thin over the public API. May import everything; heavy things only when a command needs them."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from reverie.config import Config
from reverie.errors import InputError, ReverieError
from reverie.presets import DEMO, SIZES, WIDTHS, for_suite

if TYPE_CHECKING:
    from reverie.training import Trainer

Size = Literal["size1m", "size12m", "size25m", "size50m", "size100m", "size200m", "size400m"]
Home = Literal["memory", "disk", "device"]


@dataclass(frozen=True)
class Train:
    """Train an agent, or continue the run that the logdir holds."""

    env: tyro.conf.Positional[str]
    """A registered Gymnasium id (CartPole-v1), one of a suite (atari100k/pong, see reverie suites), package:Name-v0,
    or module:factory. A suite brings its own defaults for train ratio, environments and steps."""
    logdir: Path | None = None
    """The run's folder; by default runs/ and the environment's name."""
    resume: Literal["auto", "must", "never"] = "auto"
    """Whether to continue a run that the logdir holds: if there is one, or fail; or fail if there is one."""
    size: Size | None = None
    """A published model size, instead of the values under --model."""
    steps: int | None = None
    """Environment steps; short for --run.steps."""
    train_ratio: float | None = None
    """Replayed steps per environment step; short for --run.train-ratio."""
    envs: int | None = None
    """Environments stepped side by side; short for --env.envs."""
    keys: str | None = None
    """A regular expression: which observations of a Dict or Tuple are taken; short for --env.keys."""
    encoder_keys: str | None = None
    """Which of these the policy sees; short for --model.encoder-keys."""
    decoder_keys: str | None = None
    """Which of these are predicted; short for --model.decoder-keys."""
    eval_every: int | None = None
    """Environment steps between evaluations on environments of their own; short for --run.eval-every."""
    replay_memory: str | None = None
    """What replay may take, such as 8GiB; short for --replay.memory."""
    replay_home: Home | None = None
    """Where replay is kept; short for --replay.home."""
    replay_capacity: int | None = None
    """Records that replay keeps; short for --replay.capacity."""
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)

    def __call__(self) -> None:
        from reverie.training import train

        env, config = self.env.removeprefix("gym/"), _with_model(self.config, self)
        if self.train_ratio is not None:
            config = replace(config, run=replace(config.run, train_ratio=self.train_ratio))
        if self.envs is not None:
            config = replace(config, env=replace(config.env, envs=self.envs))
        if self.keys is not None:
            config = replace(config, env=replace(config.env, keys=self.keys))
        if self.eval_every is not None:
            config = replace(config, run=replace(config.run, eval_every=self.eval_every))
        replay = {name: getattr(self, f"replay_{name}") for name in ("memory", "home", "capacity")}
        asked = {name: value for name, value in replay.items() if value is not None}
        config = replace(config, replay=replace(config.replay, **asked))
        logdir = self.logdir or _default_logdir(env)
        train(env, config, steps=self.steps, logdir=logdir, resume=self.resume)


@dataclass(frozen=True)
class Inspect:
    """Show how an environment's spaces reach the networks, and what a run of it would take."""

    env: tyro.conf.Positional[str]
    """As for train."""
    size: Size | None = None
    """A published model size."""
    keys: str | None = None
    """A regular expression: which observations of a Dict or Tuple are taken."""
    encoder_keys: str | None = None
    """Which of these the policy sees."""
    decoder_keys: str | None = None
    """Which of these are predicted."""

    def __call__(self) -> None:
        from reverie.envs.suites import suite_of
        from reverie.training import inspect

        config = _with_model(for_suite(suite_of(self.env), Config()), self)
        if self.keys is not None:
            config = replace(config, env=replace(config.env, keys=self.keys))
        inspect(self.env, config)


@dataclass(frozen=True)
class Resume:
    """Continue a run with its own settings."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    steps: int | None = None
    """Environment steps in all, if more or fewer than before."""
    train_ratio: float | None = None
    """Replayed steps per environment step from now on."""
    replay_memory: str | None = None
    """What replay may take, such as 8GiB."""
    replay_home: Home | None = None
    """Where replay is kept from now on."""
    replay_capacity: int | None = None
    """Records that replay keeps from now on."""
    log_every: float | None = None
    """Seconds between metrics."""
    eval_every: int | None = None
    """Environment steps between evaluations on environments of their own; 0 for none."""
    checkpoint_every: float | None = None
    """Seconds between checkpoints."""
    keep: int | None = None
    """Checkpoints kept."""
    dream_every: float | None = None
    """Seconds between open-loop predictions; 0 for none."""
    wandb: str | None = None
    """The project of Weights & Biases that gets the metrics."""

    def __call__(self) -> None:
        from reverie.agent import read_description
        from reverie.training import train

        file = self.run / "agent.json"
        if not file.exists():
            raise InputError(f"There is no run in {self.run}; start one with: reverie train ENV --logdir {self.run}")
        _, config, env = read_description(file)
        if env is None:
            raise InputError(
                f"{self.run} does not say how to make its environment; continue it from the script that began it."
            )
        asked = {name: value for name, value in vars(self).items() if name != "run" and value is not None}
        replay = {
            name: asked.pop(f"replay_{name}") for name in ("memory", "home", "capacity") if f"replay_{name}" in asked
        }
        config = replace(config, replay=replace(config.replay, **replay))
        train(env, replace(config, run=replace(config.run, **asked)), logdir=self.run, resume="must")


@dataclass(frozen=True)
class Eval:
    """Play episodes with a trained agent."""

    run: tyro.conf.Positional[Path]
    """The folder of a run or of a saved agent."""
    episodes: int = 20
    """Whole episodes to play."""
    env: str | None = None
    """The environment, if it isn't the one of the training."""
    seed: int = 1000
    """Of the environments and of the policy's samples."""
    deterministic: bool = False
    """Play the most likely actions instead of samples."""
    video: Path | None = None
    """Film the first episode, .mp4 or .gif."""

    def __call__(self) -> None:
        from reverie.agent import Agent, read_description
        from reverie.training import evaluate

        agent = Agent.load(self.run)
        env = self.env or read_description(self.run / "agent.json")[2]
        if env is None:
            raise InputError(f"{self.run} does not say which environment it is for; name it with --env.")
        result = evaluate(
            agent,
            env,
            episodes=self.episodes,
            seed=self.seed,
            deterministic=self.deterministic,
            video=self.video,
        )
        print(f"{env}: {result}")
        if self.video:
            print(f"The film is in {self.video}.")


@dataclass(frozen=True)
class Plot:
    """Draw learning curves: the interquartile mean of runs that differ in nothing but the seed, and how sure it is."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or of several runs."""
    out: Path = Path("curves.png")
    """The picture; the numbers are written beside it as .csv."""
    metric: str = "episode/return"
    """Any that the runs have logged (docs/metrics.md)."""

    def __call__(self) -> None:
        from rich.console import Console

        from reverie.results import curves, find_runs, plot, table

        found = curves(find_runs(self.runs), self.metric)
        Console(soft_wrap=True).print(table(found))
        picture, numbers = plot(found, self.out, self.metric)
        print(f"The picture is {picture}, its numbers are in {numbers}.")


@dataclass(frozen=True)
class Report:
    """Put a run on one page: LOGDIR/report.html. A run writes it itself when it ends, unless it is killed."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""

    def __call__(self) -> None:
        from reverie.results import write_report

        print(f"The page is {write_report(self.run)}.")


@dataclass(frozen=True)
class Dashboard:
    """Show the runs of a folder in a browser while they train, and play their dreams."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """A folder that holds runs, at any depth, or a run's own."""
    host: str = "127.0.0.1"
    """The address to listen on; others than this machine's own ask for a token."""
    port: int | None = None
    """The port; by default the first free one from 8765 on."""
    token: str | None = None
    """What the page's address must hold; by default one is made up where it is needed."""

    def __call__(self) -> None:
        import jax

        missing = [name for name in ("starlette", "uvicorn", "websockets") if find_spec(name) is None]
        if missing:
            raise InputError(
                f"The dashboard needs {' and '.join(missing)}; install it with: pip install 'reverie[dashboard]'"
            )
        from reverie.dashboard.serve import serve

        if "JAX_PLATFORMS" not in os.environ:
            jax.config.update("jax_platforms", "cpu")  # an accelerator's memory belongs to training
        serve(self.folder, host=self.host, port=self.port, token=self.token)


@dataclass(frozen=True)
class Suites:
    """List suites of environments, and how to install those that are missing."""

    def __call__(self) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from reverie.envs.suites import SUITES, missing

        table = Table(box=None, pad_edge=False)
        for column in ("example", "extra"):
            table.add_column(column, no_wrap=True)
        table.add_column("what")
        table.add_row("CartPole-v1", "installed", "whatever is registered with Gymnasium")
        for name, suite in SUITES.items():
            table.add_row(suite.example, suite.extra if missing(name) else "installed", suite.about)
        console = Console(soft_wrap=True)
        console.print(table)
        console.print(Text("\nInstall what is missing by its extra: pip install 'reverie[EXTRA]'"))


@dataclass(frozen=True)
class Demo:
    """Watch an agent learn to catch a ball, in a few minutes on a laptop. Not the paper's setting: see presets.DEMO."""

    logdir: Path = Path("runs/demo")
    """The run's folder."""

    def __call__(self) -> None:
        from reverie.training import Trainer, evaluate

        env, solved = "reverie/CatchVector-v0", 0.8
        print(
            "The ball falls, the paddle moves: +1 for a catch, -1 for a miss. "
            f"A random player gets about -0.75; the demo ends at an average of {solved}."
        )
        trainer = Trainer(env, DEMO, logdir=self.logdir)
        with closing(trainer):
            agent = trainer.run(until=_reported_often(solved))
        if trainer.interrupted:
            return  # the run has said where it is and how to go on
        print(f"Evaluated on fresh episodes: {evaluate(agent, env, episodes=100)}")
        print(
            f"\nThe run is in {self.logdir}: report.html shows it on one page, dreams/ what the model foresees.\n"
            f"Watch it play:   reverie eval {self.logdir} --episodes 5 --video catch.gif\n"
            "A real task:     reverie train CartPole-v1 --steps 8000 --logdir runs/cartpole\n"
            "Its own script:  examples/act.py"
        )


def _with_model(config: Config, asked: Train | Inspect) -> Config:
    """With the size and the keys that were asked for. A size decides widths, nothing else of the model."""
    model = config.model
    if asked.size is not None:
        model = replace(model, **{width: getattr(SIZES[asked.size], width) for width in WIDTHS})
    keys: dict[str, Any] = {"encoder_keys": asked.encoder_keys, "decoder_keys": asked.decoder_keys}
    model = replace(model, **{name: value for name, value in keys.items() if value is not None})
    return replace(config, model=model)


def _reported_often(solved: float, times: int = 3) -> "Callable[[Trainer], bool]":
    """Whether the recent episodes average so much in several reports on end: one streak may be luck."""
    streak = 0

    def check(run: "Trainer") -> bool:
        nonlocal streak
        recent = run.episodes.recent
        streak = streak + 1 if len(recent) == recent.maxlen and fmean(recent) >= solved else 0
        return streak >= times

    return check


COMMANDS: dict[str, Any] = {  # to dataclasses that are called when filled in
    "train": Train,
    "resume": Resume,
    "eval": Eval,
    "plot": Plot,
    "report": Report,
    "inspect": Inspect,
    "dashboard": Dashboard,
    "suites": Suites,
    "demo": Demo,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what goes wrong for a reason that a user can mend is one sentence and exit status 2."""
    sys.path.append(os.getcwd())  # for module:factory; last, so that nothing there hides a package
    try:
        command = _command(sys.argv[1:] if arguments is None else arguments)
        if not isinstance(command, Plot | Report):  # they need no JAX
            _keep_compiled()
        command()
    except (ReverieError, OSError) as error:
        if getattr(error, "__notes__", None):
            raise  # it is an environment's own, and its traceback is what helps
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _command(arguments: Sequence[str]) -> Any:
    """The command that the arguments fill in; those of train stand over the settings of the environment's suite."""
    if arguments[:1] == ["train"] and (usual := _usual_for_suite(arguments[1:])):
        return tyro.cli(Train, prog="reverie train", default=usual, args=arguments[1:])
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="reverie", description="DreamerV3 on any Gymnasium environment.", args=arguments
    )


def _usual_for_suite(arguments: Sequence[str]) -> Train | None:
    """Train without flags, on the environment that is given; None if that is of no suite or the arguments are wrong."""
    from reverie.envs.suites import suite_of

    try:
        asked = tyro.cli(Train, args=[one for one in arguments if one not in ("-h", "--help")], console_outputs=False)
    except (SystemExit, InputError):
        return None  # which is said when they are read again
    suite = suite_of(asked.env)
    return Train(asked.env, config=for_suite(suite, Config())) if suite else None


def _keep_compiled() -> None:
    """What XLA compiles is kept in the user's cache folder, unless JAX was told another; the next start is quick."""
    import jax

    if not jax.config.values["jax_compilation_cache_dir"]:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "reverie" / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _default_logdir(env: str) -> Path:
    return Path("runs") / "".join(c if c.isalnum() or c in "-_." else "-" for c in env)
