"""Datasets: what was stepped online comes back exactly, in every format, and bad files are refused by name."""

import importlib.util
import json

import gymnasium as gym
import jax
import numpy as np
import pytest

from reverie.agent import Agent
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.datasets import DatasetError, Episode, as_episode, as_records, create_dataset, open_dataset
from reverie.errors import InputError
from reverie.replay import read_run, split_episodes
from reverie.spaces import Spaces
from reverie.training import evaluate, export_replay, train

MINARI = pytest.param("minari", marks=pytest.mark.skipif(not importlib.util.find_spec("minari"), reason="needs Minari"))
CONFIG = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=50, train_ratio=0, log_every=0, tensorboard=False, dream_every=0),
)


class Mixed(gym.Env):
    """Every kind of value. Episodes last 4 or 5 steps: they are terminated or truncated in turn."""

    observation_space = gym.spaces.Dict(
        {
            "camera": gym.spaces.Box(0, 255, (8, 12, 1), np.uint8),
            "speed": gym.spaces.Tuple([gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)]),
            "gear": gym.spaces.Discrete(3, start=-1),
        }
    )
    action_space = gym.spaces.Dict(
        {"turn": gym.spaces.Box(-2, 4, (2,), np.float32), "buttons": gym.spaces.MultiDiscrete([2, 3])}
    )
    played = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.played, self.time = self.played + 1, 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.time += 1
        ends = self.time == 4 + self.played % 2
        terminal = ends and self.played % 2 == 0
        return self.observation_space.sample(), float(action["turn"][0]), terminal, ends and not terminal, {}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mixed"
    train(Mixed, CONFIG, logdir=folder, quiet=True)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, request):
    """Where a dataset of the format can be."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return "minari:me/mixed/test-v0" if request.param == "minari" else tmp_path / "mixed"


def records_of(name, spaces):
    model = CONFIG.model
    dataset = open_dataset(name)
    episodes = [episode for _, episode in dataset.episodes(spaces)]
    read = [as_records(episode, spaces, deter=model.deter, groups=model.groups) for episode in episodes]
    assert len(read) == len(dataset)
    return read


def zeroed(x, at):
    x = x.copy()
    x[at] = 0
    return x


def assert_same(ours, theirs):
    """All but the latents, which a dataset does not have."""
    for name in ("observation", "action", "reward", "is_first", "is_last", "is_terminal"):
        for one, other in zip(*(jax.tree.leaves(getattr(x, name)) for x in (ours, theirs)), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("place", ["folder", MINARI], indirect=True)
def test_exported_experience_comes_back_as_it_was_stepped(run, place):
    spaces = Agent.load(run).spaces
    stepped = [one for stream in read_run(run) for one in split_episodes(stream) if len(one.reward) > 1]
    assert export_replay(run, place) == len(stepped)
    read = records_of(place, spaces)
    assert len({(bool(x.is_terminal[-1]), bool(x.is_last[-1])) for x in read}) > 1  # they end in several ways
    for ours, theirs in zip(read, stepped, strict=True):
        if not theirs.is_last[-1]:  # what followed the last action is not known
            theirs = theirs._replace(action=jax.tree.map(lambda x: zeroed(x, -1), theirs.action))
            theirs.is_last[-1] = "minari" in str(place)  # which has no episode that just stops
        theirs.action["turn"].clip(-1, 1, out=theirs.action["turn"])  # what was executed of the policy's samples
        assert_same(ours, theirs)


@pytest.mark.parametrize("place", ["folder", MINARI], indirect=True)
def test_an_agent_records_what_it_plays(run, place):
    agent = Agent.load(run)
    result = evaluate(agent, Mixed, episodes=3, envs=2, record=place)
    read = records_of(place, agent.spaces)
    assert sorted(len(x.reward) - 1 for x in read) == sorted(result.lengths)
    np.testing.assert_allclose(sorted(x.reward.sum() for x in read), sorted(result.returns), rtol=1e-5)
    assert all(x.is_first[0] and x.is_last[-1] and not x.action["turn"][-1].any() for x in read)
    with pytest.raises(DatasetError, match="already|not empty"):
        evaluate(agent, Mixed, episodes=3, record=place)


@pytest.mark.parametrize("episodes", [0, 1])
def test_a_failure_keeps_the_episodes_before_it(run, tmp_path, episodes):
    class Failing(Mixed):
        def step(self, action):
            if self.played > episodes:
                raise RuntimeError("broken")
            return super().step(action)

    with pytest.raises(RuntimeError, match="broken"):
        evaluate(Agent.load(run), Failing(), episodes=3, record=tmp_path / "kept")
    if episodes:
        assert len(open_dataset(tmp_path / "kept")) == 1
    else:  # the name stays free
        create_dataset(tmp_path / "kept", Agent.load(run).spaces)


def test_an_episode_that_is_cut_off_is_truncated(run, tmp_path):
    agent = Agent.load(run)
    evaluate(agent, Mixed, episodes=2, envs=2, max_steps=2, record=tmp_path / "cut")
    for records in records_of(tmp_path / "cut", agent.spaces):
        assert len(records.reward) == 3
        assert records.is_last[-1]
        assert not records.is_terminal[-1]


def test_a_dataset_knows_its_spaces_and_its_environment(run, tmp_path):
    export_replay(run, tmp_path / "mixed")
    dataset = open_dataset(tmp_path / "mixed")
    assert dataset.spaces == Agent.load(run).spaces
    assert dataset.env == f"{__name__}:Mixed"


VECTOR = Spaces(gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2))
GOOD = {
    "observation": np.zeros((4, 2), np.float32),
    "action": np.array([0, 1, 1]),
    "reward": np.array([0.0, 1.0, 2.0]),
    "terminated": np.array(True),
}


def test_a_folder_of_numpys_archives_needs_no_description(tmp_path):
    np.savez(tmp_path / "a.npz", **GOOD)
    np.savez_compressed(tmp_path / "b.npz", **{**GOOD, "terminated": np.array(False)})
    assert open_dataset(tmp_path).spaces is None
    first, second = records_of(tmp_path, VECTOR)
    np.testing.assert_array_equal(first.reward, [0, 0, 1, 2])
    np.testing.assert_array_equal(first.action["action"], [0, 1, 1, 0])
    assert (first.is_terminal[-1], second.is_last[-1]) == (True, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"observation": np.zeros((4, 3), np.float32)}, r"observation 'vector' has shape \(4, 3\)"),
        ({"observation": np.full((4, 2), np.nan, np.float32)}, "nan at index"),
        ({"action": np.array([0, 1, 2])}, "outside of its space"),
        ({"action": np.array([0, 1])}, "must have 3 entries, got 2"),
        ({"reward": np.array([0.0, np.inf, 0.0])}, "reward of step 1 is inf"),
        ({"reward": np.array(["a", "b", "c"])}, "'reward' must be numbers"),
        ({"terminated": np.array([True, False])}, "'terminated' must be a single boolean"),
        ({"observation": np.zeros((1, 2), np.float32), "action": np.array([], int), "reward": np.array([])}, "no step"),
        ({"velocity": np.zeros(3)}, "unknown array 'velocity'"),
        ({"action": None}, "lacks the array 'action'"),
        ({"reward": np.array([{}, {}, {}])}, "Object arrays cannot be loaded"),  # pickled by NumPy
    ],
)
def test_a_bad_episode_is_refused_with_its_file(tmp_path, change, words):
    np.savez(tmp_path / "bad.npz", **{name: x for name, x in {**GOOD, **change}.items() if x is not None})
    with pytest.raises(InputError, match=words):
        list_records(tmp_path)


def list_records(folder):
    for label, episode in open_dataset(folder).episodes(VECTOR):
        try:
            as_records(episode, VECTOR, deter=4, groups=2)
        except ValueError as error:
            raise DatasetError(f"{label}: {error}") from error


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x80\x04N."])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "episode.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"episode\.npz"):
        list_records(tmp_path)


def test_folders_without_episodes_and_wrong_descriptions_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no dataset"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="no episodes"):
        open_dataset(tmp_path)
    np.savez(tmp_path / "a.npz", **GOOD)
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match="format"):
        open_dataset(tmp_path)


def test_unknown_rewards_stay_unknown(tmp_path):
    writer = create_dataset(tmp_path / "silent", VECTOR)
    writer.add(Episode(GOOD["observation"], GOOD["action"], None, False, True))
    writer.close()
    ((_, episode),) = open_dataset(tmp_path / "silent").episodes(VECTOR)
    assert episode.rewards is None
    records = as_records(episode, VECTOR, deter=4, groups=2)
    assert not records.reward.any()
    assert as_episode(records, VECTOR).truncated
