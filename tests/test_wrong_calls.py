"""Arguments of the wrong type or kind, in a process where no checker of types is first to complain."""

import subprocess
import sys

import pytest

CALLS = {
    "train(ENV, {'steps': 100})": "config must be a Config, got a dict: make one with Config.of",
    "train(ENV, 'config.yaml')": "config must be a Config, got a str",
    "train(ENV, resume='yes')": "resume must be one of 'auto', 'must', 'never'; got 'yes'",
    "train(ENV, start_from='x', start_with='critics')": "start_with must be one of 'world_model', 'actor', 'critic'",
    "train(ENV, start_with='critic')": "name that agent with start_from",
    "reverie.training.callbacks.Callbacks(print)": "callbacks must be a list of objects, got <built-in function print>",
    "reverie.training.callbacks.Until(100)": "until must be a function of the run that returns whether to stop",
    "reverie.evaluate('runs/x', ENV)": "agent must be an Agent, got 'runs/x'; Agent.load reads one from a folder",
    "reverie.Agent(ENV)": "An agent is made for Spaces, got 'CartPole-v1': use Spaces.from_env(env)",
    "reverie.Agent.act(AGENT, [0, 0, 0, 0], None)": "carry must come from initial_carry() or the last act(), got",
}
SCRIPT = """
import reverie, reverie.training.callbacks
from functools import partial
ENV, AGENT, train = "CartPole-v1", None, partial(reverie.train, quiet=True)
for call in {calls!r}:
    try:
        eval(call)
    except reverie.training.callbacks.InputError as error:
        print(error)
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("accepted")
"""


@pytest.fixture(scope="module")
def answers() -> list[str]:
    script = SCRIPT.format(calls=list(CALLS))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("index", range(len(CALLS)), ids=list(CALLS))
def test_the_answer_says_what_was_expected(answers: list[str], index: int) -> None:
    assert list(CALLS.values())[index] in answers[index]
    assert not answers[index].startswith(("TypeError", "AttributeError"))
