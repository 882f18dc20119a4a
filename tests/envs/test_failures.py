"""Failing environments, in this process and in worker processes: restarted, counted, and finally given up."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from reverie.envs import BrokenEnvironmentError, Environments, vector

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes cannot import this file


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector, "FIRST_PAUSE", 0.001)


class UnsendableError(Exception):
    """Holds objects that cannot be pickled."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.held = lambda: None
        self.file = sys.stdout


class Failing(gym.Env[Any, Any]):
    """Observes (life, time); fails at time `when` in its first `times` lives, counted in a file."""

    observation_space = spaces.Box(0, 99, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, how: str, lives: Path, when: int = 3, times: int = 1) -> None:
        lives.write_text(str(int(lives.read_text()) + 1) if lives.exists() else "1")
        self.how, self.when, self.life, self.times = how, when, int(lives.read_text()), times

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.array([self.life, 0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        observation, reward = np.array([self.life, self.time], np.float32), 1.0
        if self.time == self.when and self.life <= self.times:
            match self.how:
                case "raises":
                    raise ConnectionError("the simulator is gone")
                case "raises what can't be sent":
                    raise UnsendableError("no way")
                case "exits":
                    os._exit(7)
                case "hangs":
                    time.sleep(1000)
                case "nan reward":
                    reward = np.nan
                case "nan":
                    observation = np.array([np.nan, 0], np.float32)
                case "shape":
                    observation = np.zeros(3, np.float32)
                case "dtype":
                    observation = np.zeros(2, complex)
        return observation, reward, False, self.time == 9, {}


ANYWHERE = ["raises", "raises what can't be sent", "nan reward", "nan", "shape", "dtype"]


def environments(how: str, lives: Path, processes: bool, **settings: Any) -> Environments:
    # The copy that is checked first takes a life.
    kwargs = {"how": how, "lives": lives, "times": settings.pop("times", 1) + 1}
    return Environments(Failing, mode="parallel" if processes else "serial", timeout=2, env_kwargs=kwargs, **settings)


def go_on(envs: Environments) -> None:
    for _ in range(20):
        envs.step({"action": np.array([1])})


@pytest.mark.parametrize(
    ("how", "processes"), [*((how, False) for how in ANYWHERE), *((how, True) for how in [*ANYWHERE, "exits", "hangs"])]
)
def test_a_failed_environment_is_restarted(how: str, processes: bool, tmp_path: Path) -> None:
    with environments(how, tmp_path / "lives", processes, restarts=2) as envs:
        told: list[str] = []
        envs.tell = told.append
        shown = [envs.reset()] + [envs.step({"action": np.array([1])}) for _ in range(5)]
        assert envs.failures == 1
        (sentence,) = told
        assert "Environment 0 failed" in sentence
        assert "1 more restart allowed" in sentence
    life = 2
    seen = [step.observation["vector"][0].tolist() for step in shown]
    assert seen == [[life, 0], [life, 1], [life, 2], [life + 1, 0], [life + 1, 1], [life + 1, 2]]
    assert [bool(step.is_first[0]) for step in shown] == [True, False, False, True, False, False]
    assert [float(step.reward[0]) for step in shown] == [0, 1, 1, 0, 1, 1]
    assert not any(step.is_last[0] or step.is_terminal[0] for step in shown)


@pytest.mark.parametrize("processes", [False, True])
def test_the_other_environments_continue(processes: bool, tmp_path: Path) -> None:
    class First(Failing):
        """The first of several environments that gets this far raises."""

        def __init__(self, mark: Path) -> None:
            self.how, self.life, self.times, self.when, self.mark = "", 0, 0, 0, mark

        def step(self, action: Any) -> Any:
            if self.time == 2 and not self.mark.exists():
                self.mark.touch(exist_ok=False)
                raise ConnectionError("the simulator is gone")
            return super().step(action)

    with Environments(
        First,
        3,
        mode="parallel" if processes else "serial",
        restarts=3,
        env_kwargs={"mark": tmp_path / "mark"},
        check=False,
    ) as envs:
        shown = [envs.reset()] + [envs.step({"action": np.zeros(3, int)}) for _ in range(4)]
        failures = envs.failures
    times = np.stack([step.observation["vector"][:, 1] for step in shown], 1).tolist()
    # Several processes may get there at the same moment.
    assert 1 <= failures <= (3 if processes else 1)
    assert sorted(times) == [[0, 1, 2, 0, 1]] * failures + [[0, 1, 2, 3, 4]] * (3 - failures)


@pytest.mark.parametrize("how", ["raises", "exits", "hangs"])
def test_an_asynchronous_environment_is_restarted(how: str, tmp_path: Path) -> None:
    class One(Failing):
        """Fails unless the other one of the two has failed already."""

        def step(self, action: Any) -> Any:
            if self.time + 1 == self.when and not (tmp_path / "mark").exists():
                (tmp_path / "mark").touch()
                self.life = 0
            return super().step(action)

    kwargs = {"how": how, "lives": tmp_path / "lives", "times": 0}
    records: list[list[tuple[float, bool, bool]]] = [[], []]
    with Environments(One, 2, mode="async", timeout=2, restarts=2, env_kwargs=kwargs) as envs:
        step = envs.reset()
        while min(map(len, records)) < 12:
            for i in np.flatnonzero(envs.ready):
                records[i].append(
                    (float(step.observation["vector"][i, 1]), bool(step.is_first[i]), bool(step.is_last[i]))
                )
            step = envs.step({"action": np.array([1, 1])})
        assert 1 <= envs.failures <= 2
    whole = [(time, time == 0, time == 9) for time in range(10)]
    broken = [record[:12] == [*whole[:3], *whole[:9]] for record in records]
    assert sum(broken) == envs.failures
    for record, is_broken in zip(records, broken, strict=True):
        assert is_broken or record[:12] == [*whole, *whole[:2]]


@pytest.mark.parametrize("processes", [False, True])
def test_its_own_error_is_raised_when_restarts_are_used_up(processes: bool, tmp_path: Path) -> None:
    with environments("raises", tmp_path / "lives", processes, restarts=2, times=99) as envs:
        envs.reset()
        with pytest.raises(ConnectionError, match="the simulator is gone") as error:
            go_on(envs)
        assert envs.failures == 2
    told = "".join(traceback.format_exception(error.value))
    assert 'raise ConnectionError("the simulator is gone")' in told  # the line in the environment


def test_an_environment_that_cannot_be_created_again_is_given_up(tmp_path: Path) -> None:
    class Once(Failing):
        """Can be created only once."""

        def __init__(self, lives: Path) -> None:
            if lives.exists():
                raise OSError("the license is in use")
            super().__init__("raises", lives)

    envs = Environments(Once, restarts=3, env_kwargs={"lives": tmp_path / "lives"}, check=False)
    envs.reset()
    with pytest.raises(OSError, match="the license is in use"):
        go_on(envs)
    assert envs.failures == 3


@pytest.mark.parametrize("processes", [False, True])
def test_the_first_reset_may_fail(processes: bool, tmp_path: Path) -> None:
    class Shy(Failing):
        """Cannot start an episode in its first life."""

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            if self.life <= 2:
                raise ConnectionError("not yet")
            return super().reset(seed=seed)

    kwargs = {"how": "", "lives": tmp_path / "lives"}
    with Environments(Shy, mode="parallel" if processes else "serial", restarts=1, env_kwargs=kwargs) as envs:
        assert envs.reset().observation["vector"].tolist() == [[3, 0]]
        assert envs.step({"action": np.array([1])}).observation["vector"].tolist() == [[3, 1]]


def test_an_environment_that_hangs_while_restarting_is_given_up(tmp_path: Path) -> None:
    class Slow(Failing):
        """Waits for its server forever, except for the copy that is checked and the first one of the run."""

        def __init__(self, lives: Path) -> None:
            super().__init__("raises", lives, times=9)
            if self.life > 2:
                time.sleep(1000)

    with Environments(Slow, mode="parallel", restarts=1, timeout=1.5, env_kwargs={"lives": tmp_path / "lives"}) as envs:
        envs.reset()
        with pytest.raises(TimeoutError, match="environment 0 has not answered for 1.5 seconds"):
            go_on(envs)


def test_a_late_answer_is_not_mistaken_for_the_next_one(tmp_path: Path) -> None:
    class Late(Failing):
        """Exceeds the timeout once."""

        def step(self, action: Any) -> Any:
            result = super().step(action)
            if self.time == 2:
                time.sleep(2)
            return result

    kwargs = {"how": "", "lives": tmp_path / "lives"}
    with Environments(Late, mode="parallel", timeout=1, env_kwargs=kwargs) as envs:
        envs.reset()
        with pytest.raises(TimeoutError):
            go_on(envs)
        time.sleep(1.5)
        again = envs.reset()
        assert again.observation["vector"].tolist() == [[2, 0]]
        assert again.reward.tolist() == [0]
        assert envs.step({"action": np.array([1])}).observation["vector"].tolist() == [[2, 1]]


class PickyError(Exception):
    """Cannot be recreated from its arguments."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)


def test_an_error_that_cannot_be_unpickled_is_reported(tmp_path: Path) -> None:
    class Picky(Failing):
        """Raises `PickyError`."""

        def step(self, action: Any) -> Any:
            raise PickyError(3, "because")

    kwargs = {"how": "", "lives": tmp_path / "lives"}
    with Environments(Picky, mode="parallel", env_kwargs=kwargs) as envs:
        envs.reset()
        with pytest.raises(RuntimeError, match="PickyError: because"):
            envs.step({"action": np.array([1])})


def test_cancelling_ends_the_pause_before_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector, "FIRST_PAUSE", 50)
    envs = Environments(Failing, restarts=3, env_kwargs={"how": "raises", "lives": tmp_path / "lives"}, check=False)
    envs.reset()
    envs.cancel()
    with pytest.raises(ConnectionError):
        go_on(envs)


def test_an_environment_object_is_not_restarted(tmp_path: Path) -> None:
    envs = Environments(Failing("raises", tmp_path / "lives"), restarts=5)
    envs.reset()
    with pytest.raises(ConnectionError):
        go_on(envs)
    assert envs.failures == 0


class Exiting(Failing):
    """Raises what ends a program."""

    def step(self, action: Any) -> Any:
        result = super().step(action)
        if self.time == 2 and self.life == 2:
            raise SystemExit(3) if self.how == "exit" else KeyboardInterrupt
        return result


@pytest.mark.parametrize("how", ["exit", "interrupt"])
@pytest.mark.parametrize("processes", [False, True])
def test_exits_of_an_environment_are_failures_of_it(how: str, processes: bool, tmp_path: Path) -> None:
    told: list[str] = []
    kwargs = {"how": how, "lives": tmp_path / "lives", "times": 0}
    old = signal.signal(signal.SIGINT, lambda *_: None)  # as during training
    try:
        mode: Any = "parallel" if processes else "serial"
        with Environments(Exiting, mode=mode, restarts=1, env_kwargs=kwargs) as envs:
            envs.tell = told.append
            envs.reset()
            go_on(envs)
    finally:
        signal.signal(signal.SIGINT, old)
    assert ("raised SystemExit(3)" if how == "exit" else "raised KeyboardInterrupt()") in told[0]


def test_ctrl_c_of_the_user_is_no_failure(tmp_path: Path) -> None:
    class Interrupted(Failing):
        def step(self, action: Any) -> Any:
            signal.raise_signal(signal.SIGINT)

    kwargs = {"how": "", "lives": tmp_path / "lives"}
    with Environments(Interrupted, restarts=9, env_kwargs=kwargs, check=False) as envs:
        envs.reset()
        with pytest.raises(KeyboardInterrupt):
            go_on(envs)


@pytest.mark.parametrize("processes", [False, True])
def test_a_factory_that_exits_fails(processes: bool) -> None:
    def factory() -> Any:
        raise SystemExit("no license")

    with pytest.raises(BrokenEnvironmentError, match=r"environment \d raised SystemExit\(no license\)"):
        Environments(factory, 2, mode="parallel" if processes else "serial")


def test_what_was_opened_is_closed_if_a_later_copy_fails() -> None:
    closed = []

    class Counted(Failing):
        def __init__(self, index: int) -> None:
            self.index = index
            if index == 2:
                raise OSError("port in use")

        def close(self) -> None:
            closed.append(self.index)

    with pytest.raises(OSError, match="port in use"):
        Environments(Counted, 3, check=False)
    assert closed == [0, 1]


def test_a_bug_is_not_restarted_again_and_again(tmp_path: Path) -> None:
    class Buggy(Failing):
        def step(self, action: Any) -> Any:
            return self.missing  # type: ignore[attr-defined]

    kwargs = {"how": "", "lives": tmp_path / "lives"}
    with Environments(Buggy, restarts=10, env_kwargs=kwargs) as envs:
        envs.tell = str
        envs.reset()
        with pytest.raises(AttributeError, match="missing"):
            go_on(envs)
        assert envs.failures == 1


class FailsToClose(Failing):
    """Raises when it is closed."""

    def __init__(self) -> None:
        pass

    def close(self) -> None:
        raise OSError("it is stuck")


@pytest.mark.parametrize("processes", [False, True])
def test_an_error_in_close_is_a_warning(processes: bool) -> None:
    envs = Environments(FailsToClose, mode="parallel" if processes else "serial")
    with pytest.warns(RuntimeWarning, match=r"Environment 0 failed to close \(OSError: it is stuck\)"):
        envs.close()


SHARED = np.zeros(2, np.float32)


class SharedBuffer(Failing):
    """Writes every observation into the same array as all other copies."""

    def __init__(self, index: int) -> None:
        self.index = index

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        SHARED[:] = self.index
        return SHARED, {}


def test_a_buffer_that_copies_share_is_copied() -> None:
    with Environments(SharedBuffer, 3, check=False) as envs:
        assert envs.reset().observation["vector"][:, 0].tolist() == [0, 1, 2]


class Stateful(Failing):
    """Returns the given state."""

    def __init__(self, saved: Any) -> None:
        self.saved = saved

    def get_state(self) -> Any:
        return self.saved

    def set_state(self, state: Any) -> None:
        raise KeyError("position")


@pytest.mark.parametrize("saved", [np.zeros(2), {"position": np.float32(1)}, {1, 2}])
def test_a_state_that_json_cannot_hold_is_reported_once(saved: Any) -> None:
    with Environments(Stateful(saved)) as envs:
        told: list[str] = []
        envs.tell = told.append
        assert [envs.state(), envs.state()] == [None, None]
        assert len(told) == 1
        assert "get_state() cannot be saved as JSON" in told[0]


def test_a_state_that_cannot_be_restored_is_reported() -> None:
    with Environments(Stateful([1.5])) as envs:
        told: list[str] = []
        envs.tell = told.append
        assert envs.state() == [[1.5]]
        assert not envs.restore([[1.5]], np.zeros(1, bool))
        assert "set_state() failed (KeyError: 'position')" in told[0]


PARENT = """
import os, subprocess, sys, time
import gymnasium as gym, numpy as np
from reverie.envs import Environments

class Hanging(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(2)
    def __init__(self, index):
        self.child, self.seconds = subprocess.Popen(["sleep", "1000"]), (0.3, 1000)[index]
    def reset(self, *, seed=None, options=None):
        return np.array([*divmod(os.getpid(), 4096), *divmod(self.child.pid, 4096)], np.float32) / 4096, {}
    def step(self, action):
        time.sleep(self.seconds)
        return np.zeros(4, np.float32), 0.0, False, False, {}

if __name__ == "__main__":
    envs = Environments(Hanging, 2, mode="parallel", check=False)
    parts = (4096 * envs.reset().observation["vector"]).astype(int).reshape(-1, 2)
    print(*(4096 * parts[:, 0] + parts[:, 1]), flush=True)
    if sys.argv[1] == "kill":
        envs.step({"action": np.zeros(2, int)})
"""


@pytest.mark.parametrize("end", ["kill", "leave"])
def test_workers_and_their_children_end_with_the_parent(end: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(PARENT)
    command = [sys.executable, tmp_path / "script.py", end]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stderr is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 4
    if end == "kill":
        time.sleep(0.1)  # one of the workers is going to answer, the other one hangs
        parent.kill()
    parent.wait(20)  # without close(), too
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in parent.stderr.read()


class EndsOfFile(Failing):
    """Fails like a pipe whose other end is closed."""

    def __init__(self) -> None:
        self.life = 0

    def step(self, action: Any) -> Any:
        raise EOFError("the recording is over")


def test_an_end_of_file_in_an_environment_is_its_own() -> None:
    with Environments(EndsOfFile, mode="parallel", check=False) as envs:
        envs.reset()
        with pytest.raises(EOFError, match="the recording is over"):
            envs.step({"action": np.zeros(1, int)})


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Parallel(Failing):
    """Observes global random numbers and tells which process made it; starts a process of its own."""

    def __init__(self, made_in: Path) -> None:
        with made_in.open("a") as file:
            print(os.getpid(), file=file)
        child = multiprocessing.get_context("fork").Process(target=str)
        child.start()
        child.join()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.array([np.random.random(), random.random()], np.float32), {}


def test_workers_start_processes_and_seed_global_generators(tmp_path: Path) -> None:
    def observed(seed: int) -> Any:
        kwargs = {"made_in": tmp_path / "made"}
        with Environments(Parallel, 2, mode="parallel", seed=seed, env_kwargs=kwargs) as envs:
            return envs.reset().observation["vector"].tolist()

    first = observed(0)
    assert len(set(map(tuple, first))) == 2
    assert first == observed(0)
    assert str(os.getpid()) not in (tmp_path / "made").read_text().split()  # no example in this process


def test_creating_and_closing_count_against_the_timeout(tmp_path: Path) -> None:
    class SlowToOpen(Failing):
        def __init__(self) -> None:
            time.sleep(1000)

    class SlowToClose(Failing):
        def __init__(self) -> None:
            pass

        def close(self) -> None:
            time.sleep(1000)

    with pytest.raises(TimeoutError, match=r"environment 0 has not answered for 0\.5 seconds"):
        Environments(SlowToOpen, mode="parallel", timeout=0.5)
    envs = Environments(SlowToClose, mode="parallel", timeout=1, check=False)
    with pytest.warns(RuntimeWarning, match=r"failed to close \(TimeoutError"):
        envs.close()
