"""The agent: acting on Gymnasium's own spaces, saving, loading, and starting from trained parameters."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reverie
from reverie.agent import DamagedCheckpointWarning, list_checkpoints, read_description, transfer
from reverie.agent.saved import networks_like
from reverie.config import Config, ModelConfig
from reverie.errors import ReverieError
from reverie.learner import Networks
from reverie.spaces import Spaces
from reverie.storage import Part, Store, copied, leaves_by_name
from reverie.training.copying import check_newest
from reverie.training.opening import load_source

SOURCE = Path(__file__).parents[1] / "src"
CONFIG = Config(model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4))
OBSERVATIONS = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (64, 48, 1), np.uint8),
        "speed": gym.spaces.Box(-np.inf, np.inf, (), np.float32),
        "goal": gym.spaces.Discrete(3, start=1),
    }
)
ACTIONS = gym.spaces.Dict({"turn": gym.spaces.Box(-3, 1, (2,), np.float32), "gear": gym.spaces.Discrete(4, start=-1)})


@pytest.fixture(scope="module")
def agent() -> reverie.Agent:
    return reverie.Agent(Spaces(OBSERVATIONS, ACTIONS), CONFIG)


def test_actions_for_one_observation_are_in_the_action_space(agent):
    carry = agent.initial_carry(batch_size=1)
    OBSERVATIONS.seed(0)
    for _ in range(3):
        action, carry = agent.act(OBSERVATIONS.sample(), carry)
        assert ACTIONS.contains(action), action


def test_acts_on_a_batch(agent):
    batch = gym.vector.utils.batch_space(OBSERVATIONS, 3)
    action, carry = agent.act(batch.sample(), agent.initial_carry(batch_size=3))
    assert action["turn"].shape == (3, 2)
    assert carry.latent.deter.shape == (3, 16)
    with pytest.raises(ValueError, match="The observation has 3 rows, but the carry has 2 rows"):
        agent.act(batch.sample(), agent.initial_carry(batch_size=2))


def test_deterministic_actions_ignore_the_seed_and_samples_follow_it(agent):
    OBSERVATIONS.seed(1)
    observation = OBSERVATIONS.sample()

    def act(seed: int, **kwargs: bool) -> np.ndarray:
        return agent.act(observation, agent.initial_carry(1, seed), **kwargs)[0]["turn"]

    np.testing.assert_array_equal(act(0, deterministic=True), act(1, deterministic=True))
    np.testing.assert_array_equal(act(0), act(0))
    assert np.any(act(0) != act(1))


def test_is_first_forgets(agent):
    OBSERVATIONS.seed(2)
    first, second = OBSERVATIONS.sample(), OBSERVATIONS.sample()
    fresh, _ = agent.act(second, agent.initial_carry(), deterministic=True)
    _, carry = agent.act(first, agent.initial_carry(), deterministic=True)
    after, _ = agent.act(second, carry, deterministic=True, is_first=np.array([True]))
    np.testing.assert_array_equal(fresh["turn"], after["turn"])
    remembered, _ = agent.act(second, carry, deterministic=True)
    assert np.any(fresh["turn"] != remembered["turn"])


def test_a_loaded_agent_acts_like_the_saved_one(agent, tmp_path):
    agent.save(tmp_path / "agent")
    loaded = reverie.Agent.load(tmp_path / "agent")
    assert loaded.spaces == agent.spaces
    assert loaded.config == agent.config
    OBSERVATIONS.seed(3)
    observation = OBSERVATIONS.sample()
    ours, _ = agent.act(observation, agent.initial_carry())
    theirs, _ = loaded.act(observation, loaded.initial_carry())
    np.testing.assert_array_equal(ours["turn"], theirs["turn"])
    assert ours["gear"] == theirs["gear"]
    agent.save(tmp_path / "agent")  # again, over itself


def test_saving_over_something_else_is_refused(agent, tmp_path):
    (tmp_path / "precious").write_text("")
    with pytest.raises(ValueError, match="holds no agent"):
        agent.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds a run"):
        agent.save(tmp_path / "run")


def test_an_agent_from_another_device_loads_here(agent, tmp_path):
    """The saving process sees two devices and uses the second; this one has no such device."""
    script = (
        "import sys, jax, reverie\n"
        "from reverie.config import config_from_dict\n"
        "from reverie.spaces import Spaces\n"
        "import json; data = json.load(open(sys.argv[1]))\n"
        "with jax.default_device(jax.devices()[1]):\n"
        "    reverie.Agent(Spaces.from_json(data['spaces']), config_from_dict(data['config'])).save(sys.argv[2])\n"
    )
    (tmp_path / "agent.json").write_text(json.dumps(agent.description()))
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(SOURCE),
    }
    command = [sys.executable, "-c", script, str(tmp_path / "agent.json"), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, timeout=300)
    loaded = reverie.Agent.load(tmp_path / "there")
    assert {device for leaf in jax.tree.leaves(loaded.networks) for device in leaf.devices()} == {jax.devices()[0]}


def test_loading_says_what_is_wrong(agent, tmp_path):
    with pytest.raises(ValueError, match="There is no agent in"):
        reverie.Agent.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "agent.json").write_text("")
    with pytest.raises(ValueError, match=r"empty/agent.json' is damaged"):
        reverie.Agent.load(tmp_path / "empty")
    agent.save(tmp_path / "agent")
    file = tmp_path / "agent" / "agent.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(ValueError, match="format 99, this version of Reverie reads format 2"):
        reverie.Agent.load(tmp_path / "agent")
    file.write_text(json.dumps({"format": 2}))
    with pytest.raises(ValueError, match=r"the document lacks 'spaces'"):
        reverie.Agent.load(tmp_path / "agent")
    description["config"]["model"]["units"] = 24
    file.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="do not fit the agent"):
        reverie.Agent.load(tmp_path / "agent")
    description["config"]["model"]["units"] = "wide"
    file.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="model.units must be an integer, got 'wide'"):
        reverie.Agent.load(tmp_path / "agent")


def test_the_world_model_observes_imagines_and_decodes(agent):
    model = agent.world_model
    observation = {key: jnp.asarray(value)[:, None] for key, value in agent.spaces.zero_observation(2).items()}
    previous = {key: jnp.asarray(value)[:, None] for key, value in agent.spaces.zero_action(2).items()}
    states = model.observe(model.initial((2,)), observation, previous, jnp.ones((2, 1), bool))
    latent = jax.tree.map(lambda x: x[:, -1], states)
    for _ in range(2):
        latent = model.imagine(latent, {key: x[:, 0] for key, x in previous.items()}, jax.random.key(0))
    outputs = model.decode(latent)
    assert outputs["image"].prediction().shape == (2, 64, 48, 1)
    assert outputs["speed"].prediction().shape == (2,)
    assert outputs["goal"].prediction().shape == (2,)
    assert model.reward(latent).prediction().shape == (2,)
    assert np.all((np.asarray(model.cont(latent).prediction()) > 0) & (np.asarray(model.cont(latent).prediction()) < 1))


def test_lists_and_python_numbers_are_observations_too(agent):
    OBSERVATIONS.seed(4)
    observation = OBSERVATIONS.sample()
    plain = {"image": observation["image"].tolist(), "speed": float(observation["speed"]), "goal": 2}
    ours, _ = agent.act(observation | {"goal": np.int64(2)}, agent.initial_carry())
    theirs, _ = agent.act(plain, agent.initial_carry(), is_first=True)
    np.testing.assert_array_equal(ours["turn"], theirs["turn"])
    with pytest.raises(ValueError, match="observation 'image' is int64, but its space is uint8"):
        agent.act(plain | {"image": np.full((64, 48, 1), 300).tolist()}, agent.initial_carry())
    with pytest.raises(ValueError, match="observation 'image' is a list, which NumPy cannot convert"):
        agent.act(plain | {"image": [[1], [1, 2]]}, agent.initial_carry())
    with pytest.raises(ValueError, match="is_first has 2 rows, but the carry has 1 row;?"):
        agent.act(plain, agent.initial_carry(), is_first=[True, False])


def test_details_are_of_the_chosen_action(agent):
    batch = gym.vector.utils.batch_space(OBSERVATIONS, 3)
    action, carry = agent.act(batch.sample(), agent.initial_carry(batch_size=3))
    details = agent.details(carry)
    assert details.value.shape == details.log_prob.shape == details.entropy["gear"].shape == (3,)
    probabilities = details.policy["gear"]["probabilities"]
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    mean, std = details.policy["turn"]["mean"], details.policy["turn"]["std"]
    assert mean.shape == std.shape == (3, 2)
    raw = np.asarray(carry.action["turn"])
    normal = -0.5 * ((raw - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    chosen = probabilities[np.arange(3), action["gear"] + 1]
    np.testing.assert_allclose(details.log_prob, normal.sum(-1) + np.log(chosen), rtol=1e-4)
    expected = agent.networks.critic(carry.latent.features).prediction()
    np.testing.assert_allclose(details.value, expected, rtol=1e-5)


def test_an_agent_says_what_it_is(agent, tmp_path):
    assert repr(agent) == (
        "<Agent: goal Discrete(3), image Image(64, 48, 1), speed Continuous() → gear Discrete(4), turn Continuous(2,); "
        f"{agent.networks.parameter_count:,} parameters (deter 16, 4×4 classes, units 16)>"
    )
    agent.save(tmp_path / "agent")
    assert repr(reverie.Agent.load(tmp_path / "agent")).endswith(f", loaded from '{tmp_path / 'agent'}'>")


@pytest.fixture(scope="module")
def run(agent, tmp_path_factory) -> Path:
    """A run's folder with checkpoints of 10, 20 and 30 steps; each has its steps as the critic's first bias."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "agent.json").write_text(json.dumps(agent.description()))
    store = Store(folder / "checkpoints", keep=2, best=("networks",))
    for steps, score in ((10, 5.0), (20, None), (30, 4.0)):
        networks = eqx.tree_at(lambda n: n.critic.out.bias, agent.networks, agent.networks.critic.out.bias + steps)
        parts = {"networks": Part(None, partial(copied, networks))}
        meta = {"progress": {"env_steps": steps, "updates": 5}}
        assert store.save(steps + 5, meta, parts, wait=True)
        if score is not None:
            store.mark_best(steps + 5, score)
        assert store.problem() is None
    store.close()
    return folder


def loaded_steps(agent: reverie.Agent) -> float:
    return float(agent.networks.critic.out.bias[0])


@pytest.mark.parametrize(("choice", "steps"), [("newest", 30), ("best", 10), (10, 10), (20, 20)])
def test_a_checkpoint_can_be_chosen(run, choice, steps):
    loaded = reverie.Agent.load(run, checkpoint=choice)
    assert loaded_steps(loaded) == steps
    assert repr(loaded).endswith(f"after {steps} environment steps>")
    assert loaded_steps(load_source(run, None, checkpoint=choice)) == steps  # what a new run starts from


def test_checkpoints_that_do_not_exist_are_answered_with_those_that_do(agent, run, tmp_path):
    listed = "checkpoints of 30, 20, 10 (the best) environment steps"
    with pytest.raises(ValueError, match=re.escape(f"no checkpoint of 25 environment steps; it has {listed}")):
        reverie.Agent.load(run, checkpoint=25)
    with pytest.raises(ValueError, match="checkpoint must be 'newest', 'best' or a number of environment steps"):
        reverie.Agent.load(run, checkpoint=True)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "best.json").unlink()
    with pytest.raises(ValueError, match="has no best checkpoint, because it was never evaluated"):
        reverie.Agent.load(tmp_path / "run", checkpoint="best")
    agent.save(tmp_path / "agent")
    with pytest.raises(ValueError, match="holds a single agent"):
        reverie.Agent.load(tmp_path / "agent", checkpoint="best")
    assert [(one.env_steps, one.score, one.best, one.full) for one in list_checkpoints(run)] == [
        (30, None, False, True),
        (20, None, False, True),
        (10, 5.0, True, False),
    ]


def test_a_run_goes_back_to_full_checkpoints_in_a_copy(run):
    check_newest(run, "newest")
    with pytest.raises(ValueError, match=rf"has a newer checkpoint, of 30 .* --checkpoint 20 --logdir {run}-20\."):
        check_newest(run, 20)
    for choice in ("best", 10):
        with pytest.raises(ValueError, match=f"only the networks.*train ENV --from {run} --checkpoint {choice}"):
            check_newest(run, choice)


def test_using_an_older_checkpoint_is_a_warning(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "000000000035.json").write_text("{}")
    with pytest.warns(DamagedCheckpointWarning, match=r"000000000035.json' is damaged: .* of 20 environment steps"):
        assert loaded_steps(reverie.Agent.load(tmp_path / "run")) == 20


def changed(original: dict, path: tuple[str, ...], value: object) -> dict:
    """A copy of a document with another value in one place."""
    copy = json.loads(json.dumps(original))
    inside = copy
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = value
    return copy


def places(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all fields in a document."""
    if not isinstance(value, dict):
        return [path]
    return [place for name, inside in value.items() for place in [(*path, name), *places(inside, (*path, name))]]


WRONG = [None, True, -1, 0.5, 10**399, float("inf"), float("nan"), "\ud800", "²", [], {}, [10**12, 10**12], [[]], "Box"]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_description_is_read_or_refused_with_a_sentence(agent, tmp_path, data):
    description = agent.description()
    place = data.draw(st.sampled_from(places(description)))
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(changed(description, place, data.draw(st.sampled_from(WRONG)))))
    problem = "agent.json"
    try:
        read_description(file)
    except ReverieError as error:
        problem = str(error)
    assert b"agent.json" in problem.encode()


@pytest.mark.parametrize("size", [10**9, 2**62])
def test_impossible_networks_are_refused_before_anything_is_allocated(agent, tmp_path, size):
    agent.save(tmp_path)
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(changed(agent.description(), ("config", "model", "units"), size)))
    with pytest.raises(ReverieError):
        reverie.Agent.load(tmp_path)


# Starting from trained parameters


def random_networks(spaces: Spaces, config: Config, seed: int) -> Networks:
    """Networks with random parameters, made without compiling anything."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), networks_like(spaces, config))


def test_transfer_takes_what_fits_and_names_the_rest(agent):
    spaces = Spaces(gym.spaces.Dict({**OBSERVATIONS.spaces, "extra": gym.spaces.Box(-1, 1, (2,))}), ACTIONS)
    target = random_networks(spaces, CONFIG, 1)
    result = transfer(agent.networks, target)
    ours, old, new = (leaves_by_name(networks) for networks in (agent.networks, target, result.networks))
    assert set(result.taken) | set(result.left) == set(new)
    assert all(np.array_equal(new[path], ours[path]) for path in result.taken)
    assert all(np.array_equal(new[path], old[path]) for path in result.left)
    assert result.left == {
        ".world_model.encoder.vectors.layers[0].linear.weight": "its shape is (6, 16), the source's is (4, 16)",
        ".world_model.decoder.vectors.heads['extra'].weight": "the source has no such parameter",
        ".world_model.decoder.vectors.heads['extra'].bias": "the source has no such parameter",
    }


@pytest.mark.parametrize("only", ["world_model", "actor", "critic"])
def test_one_piece_can_be_transferred_alone(agent, only):
    target = random_networks(agent.spaces, CONFIG, 1)
    result = transfer(agent.networks, target, only)
    assert result.left == {}
    for name in ("world_model", "actor", "critic"):
        expected = agent.networks if name == only else target
        jax.tree.map(np.testing.assert_array_equal, getattr(result.networks, name), getattr(expected, name))


def test_a_transfer_of_nothing_is_an_error(agent):
    model = replace(CONFIG.model, deter=32, units=8, hidden=4, groups=8, depth=4)
    spaces = Spaces(gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(3))
    other = random_networks(spaces, replace(CONFIG, model=model), 1)
    with pytest.raises(ValueError, match="No parameter of the actor fits"):
        transfer(agent.networks, other, "actor")


def test_every_public_name_leads_somewhere():
    assert all(getattr(reverie, name).__module__.startswith("reverie.") for name in reverie.__all__)
    assert {"Callback", "NotSavedError", "Trainer"} < set(dir(reverie))
    with pytest.raises(AttributeError, match="it has train, evaluate"):
        assert reverie.trainer
