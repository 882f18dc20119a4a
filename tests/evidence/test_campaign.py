"""Tasks × seeds: what is trained, skipped, resumed and refused. Trains a tiny agent on catching a ball."""

import errno
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reverie import cli
from reverie.config import Config, ModelConfig
from reverie.evidence import Outcome, all_tasks, find_task, read_outcome, read_outcomes
from reverie.evidence import campaign as campaigns
from reverie.evidence.campaign import (
    CampaignError,
    Job,
    _update,
    check,
    jobs_against,
    jobs_of,
    progress,
    run_campaign,
)
from reverie.evidence.commit import commit
from reverie.evidence.pace import pace
from reverie.evidence.tasks import unpublished
from reverie.training import BusyError

TINY = Config.of(  # of the same sizes as in tests/training, whose compiled programs serve here too
    train_ratio=1,
    envs=2,
    dream_every=0,
    **{"replay.batch": 2, "replay.length": 8, "run.tensorboard": False, "behaviour.imagination_length": 3},
)
TINY = replace(TINY, model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4))
ENV = "reverie/CatchVector-v0"
TASK = replace(unpublished(ENV, 60), config=TINY)
FILES = ("reverie-CatchVector-v0-0.json", "reverie-CatchVector-v0-1.json")


def jobs(out: Path, *, seeds: int = 2, frames: int = 60, task=TASK) -> list[Job]:
    return jobs_of([task], seeds, frames, out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a campaign of two seeds that has finished."""
    out = tmp_path_factory.mktemp("campaign") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaigns, "commit", lambda: "first")
        run_campaign(jobs(out))
    return out


@pytest.fixture
def out(trained: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(trained, tmp_path / "out")


def never(todo):
    assert not todo
    yield from ()


def sentences(out: Path, **changes) -> list[str]:
    said: list[str] = []
    run_campaign(jobs(out, **changes), said.append, train=never)
    return said


def test_every_seed_has_an_outcome(trained):
    first, second = read_outcomes(trained)
    assert (first.task, first.seed, second.seed, first.finished) == (ENV, 0, 1, True)
    assert first.frames >= 60
    assert first.ends.tolist() == sorted(first.ends)
    assert len(first.returns) == len(first.ends) > 3
    assert first.commits == ("first",)
    assert first.versions["jax"]
    assert first.machine["cpus"]
    assert first.config.model == TINY.model
    assert json.loads((trained / FILES[0]).read_text())["env"] == ENV


def test_what_has_finished_is_skipped(out):
    before = (out / FILES[0]).read_bytes()
    assert sentences(out) == [f"{ENV}, seed 0 has finished already.", f"{ENV}, seed 1 has finished already."]
    assert (out / FILES[0]).read_bytes() == before
    assert [progress(job).state for job in jobs(out, frames=30)] == ["finished", "finished"]  # it has more


def test_a_damaged_outcome_is_written_again_from_its_run(out):
    before = read_outcome(out / FILES[0])
    (out / FILES[0]).write_text('{"format": 1')
    (out / FILES[1]).unlink()
    said = sentences(out)
    assert f"'{out / FILES[0]}' is damaged" in said[0]
    assert read_outcome(out / FILES[0]).returns.tolist() == before.returns.tolist()
    assert read_outcome(out / FILES[1]).finished


def test_outcomes_are_enough_without_their_runs(out):
    shutil.rmtree(out / "runs")
    assert len(sentences(out)) == 2


def test_more_frames_resume_the_run(out, monkeypatch):
    monkeypatch.setattr(campaigns, "commit", lambda: "second")
    job = jobs(out, seeds=1, frames=90)[0]
    found = progress(job)
    assert (found.state, found.outcome.finished) == ("resume", True)
    assert 60 <= found.frames < 90
    run_campaign([job])
    after = read_outcome(out / FILES[0])
    assert after.frames >= 90
    assert after.returns[: len(found.outcome.returns)].tolist() == found.outcome.returns.tolist()
    assert after.commits == ("first", "second")


def test_a_run_that_stopped_early_has_not_finished(out):
    for name in ("agent.json", "config.yaml"):
        path = out / "runs" / "reverie-CatchVector-v0" / "0" / name
        path.write_text(path.read_text().replace('"steps": 60', '"steps": 5000').replace("steps: 60", "steps: 5000"))
    (out / FILES[0]).unlink()
    assert [progress(job).state for job in jobs(out, frames=5000)] == ["resume", "resume"]


def test_other_settings_are_refused_before_anything_is_trained(out):
    changed = replace(TASK, config=TINY.override(train_ratio=2))
    sentence = r"seed 0 in '.*out' was trained with other settings \(run.train_ratio 1.0 → 2.0\).*Choose another --out"
    with pytest.raises(ValueError, match=sentence):
        run_campaign(jobs(out, task=changed, seeds=3))
    for name in FILES:
        (out / name).unlink()
    with pytest.raises(ValueError, match=sentence):  # the runs know their settings too
        check(jobs(out, task=changed))


def test_settings_that_change_nothing_learned_may_differ(out):
    recorded = replace(TASK, config=TINY.override(log_every=60, **{"env.mode": "serial"}))
    assert len(sentences(out, task=recorded)) == 2


def test_an_outcome_of_another_seed_is_refused(out):
    (out / FILES[0]).write_bytes((out / FILES[1]).read_bytes())
    with pytest.raises(ValueError, match="should be of .*, seed 0, but is of .*, seed 1"):
        check(jobs(out))


def test_a_failed_run_does_not_keep_the_others_from_training(tmp_path):
    def train(todo):
        yield todo[0], ValueError("the environment is broken")
        yield todo[1], BusyError("Another process trains here.")
        yield todo[2], None

    said, finished = [], []
    with pytest.raises(CampaignError, match=r"1 of 3 runs did not finish.*seed 0: the environment is broken"):
        run_campaign(jobs(tmp_path, seeds=3), said.append, lambda: finished.append(1), train)
    assert said[1] == f"{ENV}, seed 1 is left to the process that trains it."
    assert finished == [1]


def test_a_full_disk_fails_a_run_but_not_the_campaign(tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Outcome, "write", full)
    with pytest.raises(CampaignError, match=r"1 of 1 runs did not finish\..*No space left on device"):
        run_campaign(jobs(tmp_path / "out", seeds=1))
    monkeypatch.undo()

    def summarize():
        full(None, None)

    said: list[str] = []
    run_campaign(jobs(tmp_path / "out", seeds=1), said.append, summarize, train=never)  # the run itself has finished
    assert said == [f"{ENV}, seed 0 has finished already."]
    _update(summarize, said.append)
    assert said[-1].startswith("The summary could not be updated")


def test_a_run_that_another_process_trains_is_left_to_it(tmp_path, capsys):
    job = jobs(tmp_path, seeds=1)[0]
    job.folder.mkdir(parents=True)
    lock = 'exec 9>>"$0"; flock -x 9; echo locked; exec sleep 60'
    with subprocess.Popen(["bash", "-c", lock, str(job.folder / ".lock")], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        run_campaign([job])
        holder.kill()
    assert "is left to the process that trains it" in capsys.readouterr().out
    assert progress(job).state == "new"


def test_ctrl_c_ends_the_campaign(tmp_path):
    def train(todo):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        run_campaign(jobs(tmp_path), train=train)


def test_missing_packages_are_named_with_their_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(campaigns, "missing", lambda suite: ["dm_control"])
    walker = jobs_of([find_task("dmc/walker_walk")], 1, None, tmp_path)
    with pytest.raises(
        ValueError, match=r"dmc/walker_walk needs dm_control; install with: pip install 'reverie\[dmc\]'"
    ):
        run_campaign(walker)
    assert not list(tmp_path.iterdir())


def test_too_few_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match="begins at 20,416 frames, so that is the least"):
        jobs_of([find_task("dmc/walker_walk")], 1, 20_000, tmp_path)


def test_jobs_have_the_suites_steps_and_the_papers_model(tmp_path):
    (job,) = jobs_of([find_task("atari100k/pong")] * 2, 1, None, tmp_path)
    assert (job.config.run.steps, job.config.model.deter, job.config.seed) == (99_446, 8192, 0)
    assert job.file.name == "atari100k-pong-0.json"


def test_another_versions_seeds_and_frames_are_trained(trained, tmp_path):
    theirs = read_outcomes(trained)
    todo = jobs_against([ENV], theirs, 5, None, tmp_path)
    assert [(job.seed, job.frames) for job in todo] == [(0, theirs[0].frames), (1, theirs[0].frames)]
    assert todo[0].config.override(steps=1) == theirs[0].config.override(steps=1)  # settings too
    assert [job.seed for job in jobs_against([ENV], theirs, 1, None, tmp_path)] == [0]
    mixed = [theirs[0], replace(theirs[1], config=TINY.override(train_ratio=2))]
    with pytest.raises(ValueError, match=r"differ in settings \(run.train_ratio 1.0 → 2.0\); name a folder"):
        jobs_against([ENV], mixed, 5, None, tmp_path)
    with pytest.raises(ValueError, match="There is no run of 'other' to compare with; there are runs of"):
        jobs_against(["other"], theirs, 5, None, tmp_path)
    runs = read_outcomes(trained / "runs")  # plain folders of runs will do
    assert [one.returns.tolist() for one in runs] == [one.returns.tolist() for one in theirs]


def test_the_pace_is_that_measured_here(trained):
    outcomes = [replace(one, seconds=6.0, frames=60) for one in read_outcomes(trained)]
    assert pace(TASK, outcomes) == (0.1, "here")
    assert pace(TASK, []) is None
    assert pace(find_task("dmc/walker_walk"), outcomes).where == "2 CPU cores"


def test_the_command_lists_and_plans_without_training(tmp_path, capsys):
    cli.main(["benchmark", "--list", "--out", str(tmp_path)])
    listed = capsys.readouterr().out
    assert listed.count("\n") == 1 + len(all_tasks())
    assert "dmc/walker_walk" in listed
    cli.main(["benchmark", "small/cartpole", "--seeds", "2", "--dry-run", "--out", str(tmp_path / "new")])
    planned = capsys.readouterr().out
    assert "2 runs, about 7.0 minutes left. Nothing was trained." in planned
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name at least one task"),
        (["dmc/walker_wlak"], "did you mean 'dmc/walker_walk'"),
        (["small/cartpole", "--frames", "10"], "begins at 500 frames"),
        (["small/cartpole", "--seeds", "0"], "--seeds must be between 1 and 1000, got 0"),
        (["small/cartpole", "--against", "nowhere"], "There is no run in nowhere"),
        (["--check", "nowhere"], "There is no run in nowhere"),
    ],
)
def test_wrong_arguments_are_answered_in_a_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        cli.main(["benchmark", *arguments])
    assert sentence in capsys.readouterr().err


def test_the_commit_is_that_of_the_code(tmp_path):
    assert commit(tmp_path) is None or len(commit(tmp_path)) == 12  # not a repository: what pip recorded
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        (tmp_path / "__init__.py").touch()
        identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    clean = commit(tmp_path)
    assert len(clean) == 12
    (tmp_path / "__init__.py").write_text("changed")
    assert commit(tmp_path) == f"{clean}+"
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "__init__.py").touch()  # not tracked: the repository has nothing to do with it
    assert commit(tmp_path / "inside") == commit(Path("/"))


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from reverie.config import Config
from reverie.evidence.campaign import jobs_of, run_campaign
from reverie.evidence.tasks import unpublished
task = replace(unpublished(sys.argv[1], 2000), config=Config.from_file(sys.argv[2]))
run_campaign(jobs_of([task], 2, 2000, Path(sys.argv[3])))
"""


@pytest.mark.slow
def test_a_killed_campaign_goes_on_where_it_was(tmp_path):
    out, settings = tmp_path / "out", TINY.override(train_ratio=16, checkpoint_every=0.2, log_every=0.2)
    settings.to_file(tmp_path / "config.yaml")
    second = out / "runs" / "reverie-CatchVector-v0" / "1"
    command = [sys.executable, "-c", KILLED, ENV, str(tmp_path / "config.yaml"), str(out)]
    with subprocess.Popen(command) as campaign:
        while len(list(second.glob("checkpoints/*.json"))) < 2:
            assert campaign.poll() is None
            time.sleep(0.05)
        campaign.kill()
    finished = (out / FILES[0]).read_bytes()
    todo = jobs(out, frames=2000, task=replace(TASK, config=settings))
    assert [progress(job).state for job in todo] == ["finished", "resume"]
    run_campaign(todo)
    assert (out / FILES[0]).read_bytes() == finished
    after = read_outcome(out / FILES[1])
    assert after.finished
    assert after.ends.tolist() == sorted(after.ends)
    whole = read_outcome(out / FILES[0])
    assert len(after.ends) == pytest.approx(len(whole.ends), rel=0.05)  # Catch's episodes have one length
