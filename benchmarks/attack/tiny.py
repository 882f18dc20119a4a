"""The smallest run that does everything: saves, evaluates, resumes."""

from pathlib import Path

from benchmarks.attack import forked

ENV = "reverie/CatchVector-v0"
MODEL = {"model.deter": 16, "model.hidden": 8, "model.classes": 4, "model.depth": 2, "model.units": 16}
MODEL |= {"model.groups": 4, "model.blocks": 4, "behaviour.imagination-length": 3}
SETTINGS = MODEL | {"replay.batch": 2, "replay.length": 8, "env.envs": 2, "run.train-ratio": 4}


def train(logdir: object, env: str = ENV, **settings: object) -> list[str]:
    """The arguments of `reverie train` with these settings, named as in `run__log_every`."""
    words = ["train", env, "--logdir", str(logdir), "--run.no-tensorboard"]
    chosen = SETTINGS | {name.replace("__", ".").replace("_", "-"): value for name, value in settings.items()}
    return words + [word for name, value in chosen.items() for word in (f"--{name}", str(value))]


def template(folder: Path, keep: int) -> Path:
    """A finished run with all files that a run can have, and this many checkpoints; made once per folder."""
    run = folder / f"template-{keep}"
    if not run.exists():
        common: dict[str, object] = {"run__keep": keep, "run__checkpoint_every": 0, "run__log_every": 0}
        common |= {"run__eval_every": 20, "run__eval_episodes": 1}
        arguments = train(run, run__dream_every=0.1, run__steps=40, **common)
        arguments.remove("--run.no-tensorboard")
        for line in (arguments, ["resume", str(run), "--steps", "60"]):
            status, said = forked.run(line, folder / "template.txt", 300)
            if status:
                raise SystemExit(f"The template of a run could not be made:\n{said}")
    return run
