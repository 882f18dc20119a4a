"""`train`, the one call that does everything. May import: everything below `training`, and all of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from reverie.agent import Agent, CheckpointChoice
from reverie.agent.transfer import Piece
from reverie.config import Config
from reverie.envs.make import EnvLike
from reverie.training.opening import Resume, load_source
from reverie.training.trainer import Trainer


def train(
    env: EnvLike,
    config: Config | None = None,
    *,
    steps: int | None = None,
    seed: int | None = None,
    logdir: str | Path | None = None,
    resume: Resume = "auto",
    start_from: Agent | str | Path | None = None,
    start_with: Piece | None = None,
    start_checkpoint: CheckpointChoice = "newest",
    quiet: bool = False,
    callbacks: Sequence[object] = (),
    until: Callable[[Trainer], bool] | None = None,
) -> Agent:
    """Train an agent, from opening the environments to the last checkpoint.

    Ctrl-C saves the run and then raises KeyboardInterrupt, so that a loop over seeds ends too. SIGTERM, SIGHUP and
    SIGUSR1 save it and end the process with status 75, which means: repeat the command to resume.

    Compiled programs are cached on disk, see `reverie.compiling.use_cache`.

    Args:
        env: the id of a registered Gymnasium environment, one of a suite, 'module:factory', a function that makes an
            environment, an environment (stepped alone, and closed at the end) or a gymnasium.vector.VectorEnv.
        config: all settings of the run. The default has the paper's settings with the smallest model; for an
            environment of a suite, also the suite's train ratio, number of environments and steps.
        steps: environment steps, instead of `config.run.steps`.
        seed: instead of `config.seed`.
        logdir: the run's folder, for checkpoints and metrics; None writes nothing.
        resume: 'auto' resumes a run if there is one, 'must' fails if there is none, 'never' fails if there is one.
        start_from: an agent, or the folder of one or of a run, whose parameters a new run starts from where they fit;
            spaces and sizes may differ. A resumed run keeps its own.
        start_with: take only its 'world_model', 'actor' or 'critic'.
        start_checkpoint: if it is a run, the checkpoint to take, as for `Agent.load`.
        quiet: print nothing.
        callbacks: objects with some of the methods of `reverie.training.Callback`, to measure, steer or stop the run.
        until: called for each row of metrics; training ends when it returns True. Short for a callback.

    Returns:
        The agent, with the newest parameters.

    Raises:
        ReverieError: an environment, config or folder that doesn't fit; the message says what to do.
        NotSavedError: training has ended, but the newest state could not be written to the folder.
        KeyboardInterrupt: Ctrl-C, after the run was saved.
        SystemExit: another of the signals, after the run was saved.
    """
    source = load_source(start_from, logdir, start_with, start_checkpoint)
    trainer = Trainer(env, config, steps=steps, seed=seed, logdir=logdir, resume=resume, quiet=quiet)
    try:
        if source is not None:
            trainer.start_from(source, start_with)
        return trainer.run(until, callbacks=callbacks)
    finally:
        trainer.close()
