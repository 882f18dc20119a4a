"""Numerical parity with the reference implementation, on every array it published for comparison.

The files are outputs of the reference on random weights and batches, in float32, with every sample replaced by the
distribution's mode. Sizes and spaces are read off a file's own shapes, so that unseen files work too: point
REVERIE_GOLDEN at another folder.
"""

import os
from collections.abc import Mapping
from functools import cache, cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie import reference
from reverie.config import BehaviourConfig, Config, ModelConfig, OptimizerConfig
from reverie.experience import Experience
from reverie.learner import TEXTBOOK, Auxiliary, Forms, Learner, LearnerState, Networks, UpdateOutput
from reverie.spaces import Continuous, Discrete, Image
from reverie.tuned import best_forms
from reverie.world_model import Latent, WorldModel

FOLDER = Path(os.environ.get("REVERIE_GOLDEN") or Path(__file__).parent / "golden")
FILES = sorted(FOLDER.glob("*.npz"))

# What float32 gives: a number agrees to RELATIVE of itself, or to FLOOR of the largest in its array.
RELATIVE, FLOOR = 1e-4, 1e-5
# Single numbers have no array to be small in. Returns of 1e-3 are differences of bins of 1e8.
SCALAR_FLOOR = 1e-5
# A gradient this much below the others of its network is zero, and what stands there is rounding.
NOISE = 1e-6

RECORD = {"is_first", "is_last", "is_terminal", "reward"}
UPDATES = 3
OPTIMIZER = f"train/{UPDATES - 1}/opt/opt/"
RMS, MOMENTUM = OPTIMIZER + "state/1/1/", OPTIMIZER + "state/2/1/"
HORIZON = 5  # the one size that no array shows

# On a CPU, LLVM's optimizations take most of the time of compilation, and gain nothing in a few steps.
OPTIONS = {"xla_backend_optimization_level": "0"} if jax.default_backend() == "cpu" else {}
compiled = partial(jax.jit, compiler_options=OPTIONS)


class Golden:
    """One file, our learner set up for it, and what that computes."""

    def __init__(self, path: Path, forms: Forms):
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.observations, self.actions = self._spaces()
        self.learner = Learner(self.observations, self.actions, self._config(), forms)
        shapes = jax.eval_shape(self.learner.init, jax.random.key(0))
        blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        self.state: LearnerState = reference.load_state(blank, self.under("params/"))
        self.gradient = compiled(partial(self.learner.gradient, key=None))

    def under(self, *prefixes: str) -> dict[str, np.ndarray]:
        """The arrays whose names start so; a single prefix is taken off."""
        off = prefixes[0] if len(prefixes) == 1 else ""
        return {name.removeprefix(off): x for name, x in self.arrays.items() if name.startswith(prefixes)}

    @cached_property
    def first(self) -> tuple[Networks, jax.Array, Auxiliary]:
        """Gradient, loss and the rest before any update."""
        return self.gradient(self.state, self.batch)

    @cached_property
    def updates(self) -> list[tuple[LearnerState, UpdateOutput]]:
        """Three updates in a row on the same batch."""
        apply, state, results = compiled(self.learner.apply), self.state, []
        for noise in self.noise:
            gradient, total, aux = self.first if not results else self.gradient(state, self.batch)
            state, output = apply(state, replace(gradient, noise), total, aux)
            results.append((state, output))
        return results

    @cached_property
    def noise(self) -> list[dict[str, np.ndarray]]:
        """Per update, the reference's gradients of the tensors whose exact gradient is zero.

        With the mode for a sample, (action - mean) / std², the gradient of a Normal's mean, is zero. Both
        implementations leave rounding there, each its own, and the division by its root mean square makes steps of
        full size of it. So that the updates can be compared at all, ours take the reference's rounding.

        The first two updates start from the same weights (the first has learning rate 0) and have the gradient of
        the file. The third's follows from the optimiser's state: u_n is the gradient over its root mean square,

            m_3 = (1 - β₁)(β₁² u_1 + β₁ u_2 + u_3).
        """
        beta, beta_rms, epsilon = self._optimizer_constants()
        gradients, rms, momentum = self.under("grads/"), self.under(RMS), self.under(MOMENTUM)
        early, late = {}, {}
        for name in self.zero_gradients:
            g = gradients[name].astype(np.float64)
            u = g / (np.abs(g) + epsilon)
            u_3 = momentum[name].astype(np.float64) / (1 - beta) - (beta**2 + beta) * u
            early[name] = gradients[name]
            late[name] = u_3 * (np.sqrt(rms[name].astype(np.float64) / (1 - beta_rms**UPDATES)) + epsilon)
        return [early, early, late]

    @cached_property
    def zero_gradients(self) -> set[str]:
        """Weights of the continuous policies' means whose gradient the reference rounded to almost zero."""
        heads = {name: np.abs(x).max() for name, x in self.under("grads/").items() if name.startswith("pol/head/")}
        return {name for name, size in heads.items() if "/mean/" in name and size < self.gradient_noise}

    @property
    def gradient_noise(self) -> float:
        heads = [np.abs(x).max() for name, x in self.under("grads/").items() if name.startswith("pol/head/")]
        return NOISE * float(max(heads))

    @cached_property
    def rounding(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """How far rounding moves u (see `noise`): of the first two updates, and of the third.

        A gradient is off by FLOOR of its tensor's largest. Where an element is that small itself, its u can be
        anything from -1 to 1 and its weight, after two updates, off by a whole step; the third gradient, taken at
        such weights, agrees to RELATIVE of its tensor's largest.
        """
        _, beta_rms, _ = self._optimizer_constants()

        def moved(gradient: np.ndarray, share: float) -> np.ndarray:
            size = np.abs(gradient).astype(np.float64)
            error = share * size.max()
            return np.divide(error, size, out=np.full_like(size, 2.0), where=size > error / 2)

        gradients, rms = self.under("grads/"), self.under(RMS)
        return {
            name: (moved(gradients[name], FLOOR), moved(np.sqrt(rms[name] / (1 - beta_rms**UPDATES)), RELATIVE))
            for name in gradients
        }

    @cached_property
    def step_rounding(self) -> dict[str, np.ndarray]:
        """How far that moves each parameter in three updates."""
        optimizer = self.learner.config.optimizer
        rates = sum(optimizer.learning_rate * min(1, n / optimizer.warmup) for n in range(UPDATES))
        return {name: rates * np.maximum(early, late) for name, (early, late) in self.rounding.items()}

    def _optimizer_constants(self) -> tuple[float, float, float]:
        optimizer = self.learner.config.optimizer
        return optimizer.decay_momentum, optimizer.decay_rms, optimizer.epsilon

    def _config(self) -> Config:
        shape = {name: array.shape for name, array in self.arrays.items()}
        groups, classes = shape["batch/dyn/stoch"][2:]
        images = "params/enc/cnn0/bias" in shape
        return Config(
            model=ModelConfig(
                deter=shape["batch/dyn/deter"][2],
                hidden=shape["params/dyn/dynin0norm/scale"][0],
                groups=groups,
                classes=classes,
                blocks=shape["params/dyn/dynhid0/kernel"][0],
                units=shape["params/rew/mlp/norm0/scale"][0],
                depth=shape["params/enc/cnn0/bias"][0] // 2 if images else 4,
                compute_dtype="float32",
            ),
            behaviour=BehaviourConfig(imagination_length=HORIZON),
            optimizer=OptimizerConfig(learning_rate=1e-3, warmup=2),
        )

    def _spaces(self) -> tuple[dict, dict]:
        observations, actions = {}, {}
        for name, array in self.under("batch/").items():
            if name in RECORD or name.startswith("dyn/"):
                continue
            shape, size = array.shape[2:], int(np.prod(array.shape[2:]))
            classes = {
                kind: self.arrays[f"params/{kind}/{name}/logits/bias"].size // size
                for kind in ("pol/head", "dec/vec")
                if f"params/{kind}/{name}/logits/bias" in self.arrays
            }
            if f"params/pol/head/{name}/mean/bias" in self.arrays:
                actions[name] = Continuous(shape)
            elif "pol/head" in classes:
                actions[name] = Discrete(shape, classes["pol/head"])
            elif array.dtype == np.uint8 and len(shape) == 3:
                observations[name] = Image(shape)
            elif "dec/vec" in classes:
                observations[name] = Discrete(shape, classes["dec/vec"])
            else:
                observations[name] = Continuous(shape)
        return observations, actions

    @property
    def batch(self) -> Experience:
        arrays = self.under("batch/")
        return Experience(
            observation={name: jnp.asarray(arrays[name]) for name in self.observations},
            action={name: jnp.asarray(arrays[name]) for name in self.actions},
            **{name: jnp.asarray(arrays[name]) for name in RECORD},
            deter=jnp.asarray(arrays["dyn/deter"]),
            stoch=jnp.asarray(arrays["dyn/stoch"].argmax(-1)),
        )


def replace(networks: Networks, arrays: Mapping[str, np.ndarray]) -> Networks:
    """The same tree, with the leaves of these names replaced."""
    return reference.load(networks, reference.export(networks) | arrays)


def agree(
    ours: Mapping[str, object], theirs: Mapping[str, np.ndarray], floors: Mapping[str, np.ndarray | float] | None = None
) -> None:
    """The same keys, and every number within the tolerance; `floors` replace the usual one for their keys."""
    floors = floors or {}
    assert set(ours) == set(theirs), f"only ours: {set(ours) - set(theirs)}, only theirs: {set(theirs) - set(ours)}"
    for name, expected in theirs.items():
        got, expected = np.asarray(ours[name], np.float64), expected.astype(np.float64)
        assert got.shape == expected.shape, name
        usual = FLOOR * np.abs(expected).max(initial=0) if expected.ndim else SCALAR_FLOOR
        allowed = RELATIVE * np.abs(expected) + floors.get(name, usual)
        excess = np.abs(got - expected) / np.where(allowed > 0, allowed, 1e-30)
        if not np.all(excess <= 1):
            i = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), excess.shape)
            pytest.fail(f"{name}{list(map(int, i))}: ours {got[i]}, theirs {expected[i]}, {excess[i]:.2f} × tolerance")


def reference_name(name: str) -> str:
    """The reference calls the loss of an observation by its key alone."""
    return name.replace("observation/", "")


def reference_names(metrics: Mapping[str, object]) -> dict[str, object]:
    return {reference_name(name): value for name, value in metrics.items()}


@cache
def load(path: Path, forms: Forms = TEXTBOOK) -> Golden:
    return Golden(path, forms)


# The textbook's forms with every file, and the platform's with the one that has every kind of space.
CASES = [pytest.param((path, TEXTBOOK), id=path.stem) for path in FILES]
CASES += [pytest.param((path, best_forms(jnp.float32)), id="mixed, tuned") for path in FILES if path.stem == "mixed"]


@pytest.fixture(params=CASES, scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    return load(*request.param)


def test_there_are_golden_files():
    assert FILES, f"No *.npz in {FOLDER}."


def test_every_array_of_a_file_is_an_input_or_is_compared(golden):
    inputs = ("params/", "batch/", "loss_in/")
    compared = ("grads/", "policy/", "imagine/", "train/replay_updates/", "train/0/params/retnorm/")
    losses = ("tokens", "posterior/", "prior_logit", "decoded/", "terms/", "total", "metrics/")
    compared += tuple(f"loss/{name}" for name in losses)
    compared += tuple(f"train/{i}/metrics/" for i in range(UPDATES))
    compared += (f"train/{UPDATES - 1}/params/", OPTIMIZER)
    assert set(golden.arrays) == set(golden.under(*inputs, *compared))


def test_every_parameter_has_a_name_and_a_place(golden):
    theirs = golden.under("params/")
    ours = reference.export_state(golden.state)
    assert set(ours) - set(theirs) <= {"slowval_count/value"}
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_context_step(golden):
    context = golden.learner.context(golden.batch)
    previous = {f"prev_action/{name}": x[:, :-1] for name, x in golden.batch.action.items()}
    ours = {"carry/deter": context.deter, "carry/stoch": context.stoch} | previous
    agree(ours, golden.under("loss_in/"))


def test_world_model(golden):
    output = golden.first[2].world_model
    ours = {
        "loss/tokens": output.embedding,
        "loss/posterior/deter": output.latent.deter,
        "loss/posterior/stoch": output.latent.stoch,
        "loss/posterior/logit": output.posterior.logits,
        "loss/prior_logit": output.prior.logits,
        **{f"loss/decoded/{name}": value.prediction() for name, value in output.decoded.items()},
    }
    agree(ours, golden.under("loss/tokens", "loss/posterior/", "loss/prior_logit", "loss/decoded/"))


def test_losses(golden):
    _, total, aux = golden.first
    ours = {f"loss/terms/{reference_name(name)}": x for name, x in aux.losses.items()} | {"loss/total": total}
    agree(ours, golden.under("loss/terms/", "loss/total"))


def test_loss_metrics(golden):
    agree(reference_names(golden.first[2].metrics), golden.under("loss/metrics/"))


def test_gradients(golden):
    zeros = dict.fromkeys(golden.zero_gradients, golden.gradient_noise)
    agree(reference.export(golden.first[0]), golden.under("grads/"), zeros)


def test_policy(golden):
    actor, ours = compiled(lambda actor, features: actor(features)), {}
    for name, part in actor(golden.state.networks.actor, golden.first[2].world_model.latent.features).parts.items():
        discrete = isinstance(golden.actions[name], Discrete)
        raw = {"logits": part.logits} if discrete else {"mean": part.mean, "stddev": part.std}
        ours |= {f"{name}/{parameter}": value for parameter, value in raw.items()}
    agree(ours, golden.under("policy/"))


def open_loop_step(model: WorldModel, latent: Latent, action: dict[str, jax.Array]) -> tuple[Latent, jax.Array]:
    latent = model.imagine(latent, action)
    return latent, model.rssm.prior(latent.deter).logits


def test_open_loop_imagination(golden):
    theirs = golden.under("imagine/")
    model, compiled_step = golden.state.networks.world_model, compiled(open_loop_step)
    latent, steps = jax.tree.map(lambda x: x[:, 0], golden.first[2].world_model.latent), []
    for t in range(1, 1 + theirs["deter"].shape[1]):
        latent, logits = compiled_step(model, latent, {name: x[:, t] for name, x in golden.batch.action.items()})
        steps.append({"deter": latent.deter, "stoch": latent.stoch, "logit": logits})
    agree(jax.tree.map(lambda *xs: jnp.stack(xs, 1), *steps), theirs)


@pytest.mark.parametrize("update", range(UPDATES))
def test_metrics_of_an_update(golden, update):
    state, output = golden.updates[update]
    counts = {"opt/updates": state.updates, "opt/param_count": state.networks.parameter_count}
    agree(reference_names(output.metrics) | counts, golden.under(f"train/{update}/metrics/"))


def test_return_scale_after_the_first_update(golden):
    scale = golden.updates[0][0].return_scale
    agree({"retnorm/lo/value": scale.low, "retnorm/hi/value": scale.high}, golden.under("train/0/params/"))


def test_parameters_after_three_updates(golden):
    theirs = golden.under(f"train/{UPDATES - 1}/params/")
    floors = {name: FLOOR * np.abs(theirs[name]).max() + floor for name, floor in golden.step_rounding.items()}
    slow = {f"slow{name}": floor for name, floor in floors.items() if name.startswith("val/")}
    agree(reference.export_state(golden.updates[-1][0]), theirs, floors | slow)


def test_steps_of_three_updates(golden):
    """The difference that the updates make, which is a thousandth of the parameters themselves."""
    before, after = golden.under("params/"), golden.under(f"train/{UPDATES - 1}/params/")
    ours = reference.export(golden.updates[-1][0].networks)
    resolution = 2 * np.finfo(np.float32).eps
    agree(
        {name: ours[name].astype(np.float64) - before[name] for name in ours},
        {name: after[name].astype(np.float64) - before[name] for name in ours},
        {name: resolution * np.abs(before[name]).max() + floor for name, floor in golden.step_rounding.items()},
    )


def test_optimizer_after_three_updates(golden):
    ours, theirs = reference.export_optimizer(golden.updates[-1][0]), golden.under(OPTIMIZER)
    beta = golden.learner.config.optimizer.decay_momentum
    floors: dict[str, np.ndarray] = {}
    for name, (early, late) in golden.rounding.items():
        rms = np.sqrt(theirs[f"state/1/1/{name}"].astype(np.float64))
        floors[f"state/1/1/{name}"] = np.square(rms + RELATIVE * rms.max()) - np.square(rms)
        floors[f"state/2/1/{name}"] = (1 - beta) * ((beta**2 + beta) * early + late)
    agree(ours, theirs, floors)


def test_latents_written_back(golden):
    """Those of the first update."""
    latents = golden.updates[0][1].latents
    stoch = jax.nn.one_hot(latents.stoch, golden.learner.config.model.classes)
    agree({"dyn/deter": latents.deter, "dyn/stoch": stoch}, golden.under("train/replay_updates/"))
