"""Every setting of a run, with its default, its bound and its meaning. May import: `bound`.

The text under a field is what `reverie train --help` prints. Except for the model size, the train ratio and the
environment's settings, the defaults are the paper's, the same for every task.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from reverie.config.bound import Bound

Width = Annotated[int, Bound(1, 65536)]
Share = Annotated[float, Bound(0, 1)]
Scale = Annotated[float, Bound(0)]
Seconds = Annotated[float, Bound(0)]


@dataclass(frozen=True)
class ModelConfig:
    """Widths of the networks (section 2). `--size` sets deter, hidden, classes, depth and units together."""

    deter: Width = 512
    """Units of the recurrent state (D)."""
    hidden: Width = 64
    """Units of the layers inside the recurrent model."""
    classes: Annotated[int, Bound(2, 256)] = 4  # replay stores class indices as bytes
    """Classes per latent group (K)."""
    depth: Width = 4
    """Channels of the convolutions, multiplied by 2, 3, 4 and 4 in the four stages."""
    units: Width = 64
    """Units per layer of all other networks: encoder, decoder, heads, actor and critic."""
    groups: Width = 32
    """Latent groups (S), each a categorical variable."""
    blocks: Width = 8
    """Blocks of the block-diagonal recurrence (G). Must divide deter and 4 × depth."""
    unimix: Share = 0.01
    """Share of the uniform distribution mixed into the latent's categoricals."""
    encoder_keys: str = ".*"
    """Regular expression: which of the observations selected by --env.keys the policy sees."""
    decoder_keys: str = ".*"
    """Regular expression: which of the observations selected by --env.keys the world model predicts."""
    encoders: tuple[str, ...] = ()
    """Custom encoders of single observations, as pairs KEY=NAME; see reverie.register_encoder."""
    decoders: tuple[str, ...] = ()
    """Custom decoders of single observations, as pairs KEY=NAME; see reverie.register_decoder."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the networks' computations. auto: bfloat16 on accelerators that have it, else float32. On recent
    NVIDIA GPUs, products of float32 are computed in TF32 unless JAX_DEFAULT_MATMUL_PRECISION is float32."""
    forms: Literal["auto", "textbook"] = "auto"
    """How updates are computed. auto: as is fastest on the device. textbook: as the equations are written, to try out
    changes of the algorithm."""


@dataclass(frozen=True)
class LossConfig:
    """Scales of the loss terms (sections 3 and 4)."""

    observation: Scale = 1.0
    """Scale of the reconstruction loss of each decoded observation."""
    rew: Scale = 1.0
    """Scale of the reward prediction loss."""
    con: Scale = 1.0
    """Scale of the continuation prediction loss."""
    dyn: Scale = 1.0
    """Scale of the dynamics loss, which trains the prior toward the posterior."""
    rep: Scale = 0.1
    """Scale of the representation loss, which regularizes the posterior toward the prior."""
    policy: Scale = 1.0
    """Scale of the actor loss."""
    value: Scale = 1.0
    """Scale of the critic loss on imagined trajectories."""
    repval: Scale = 0.3
    """Scale of the critic loss on replayed trajectories."""
    free_nats: Scale = 1.0
    """KL divergence, in nats, below which dyn and rep have no gradient."""


@dataclass(frozen=True)
class BehaviourConfig:
    """Imagination, returns and the actor (section 4)."""

    imagination_length: Annotated[int, Bound(1, 65536)] = 15
    """Steps of an imagined trajectory (H)."""
    horizon: Annotated[int, Bound(1)] = 333
    """Discount horizon in environment steps: the discount factor is 1 - 1 / horizon."""
    trace: Share = 0.95
    """λ of the λ-returns."""
    entropy_scale: Scale = 3e-4
    """Scale of the actor's entropy bonus."""
    slow_rate: Share = 0.02
    """Rate at which the slow critic's parameters follow the critic's, per update."""
    scale_rate: Share = 0.01
    """Rate at which the return percentiles follow those of a batch, per update."""
    percentiles: tuple[float, float] = (5.0, 95.0)
    """Percentiles of the returns whose distance scales the advantages."""

    @property
    def discount(self) -> float:
        """The discount factor γ."""
        return 1 - 1 / self.horizon


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer of all networks (section 4): gradient clipping, RMS scaling, then momentum."""

    learning_rate: Scale = 4e-5
    """Learning rate after the warm-up."""
    warmup: Annotated[int, Bound(0)] = 1000
    """Updates over which the learning rate rises linearly from 0."""
    clip: Annotated[float, Bound(1e-6)] = 0.3
    """Adaptive gradient clipping: the largest gradient norm, relative to the parameter's norm."""
    clip_floor: Annotated[float, Bound(1e-12)] = 1e-3
    """Smallest parameter norm that clipping assumes."""
    decay_rms: Annotated[float, Bound(0, 0.9999999)] = 0.999
    """Decay of the mean squared gradient (β₂)."""
    decay_momentum: Annotated[float, Bound(0, 0.9999999)] = 0.9
    """Decay of the momentum (β₁)."""
    epsilon: Scale = 1e-20
    """Added to the root of the mean squared gradient."""


@dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer (section 5)."""

    capacity: Annotated[int, Bound(1)] = 5_000_000
    """Records that the replay buffer holds; a full buffer drops its oldest."""
    batch: Annotated[int, Bound(1, 65536)] = 16
    """Sequences per update (B)."""
    length: Annotated[int, Bound(2, 65536)] = 64
    """Trained steps per sequence (T). One more record precedes them as context."""
    home: Literal["memory", "disk", "device"] = "memory"
    """Where the replay buffer is kept. memory: in the host's RAM. disk: in a file in the run's folder, for buffers
    larger than RAM. device: in the accelerator's memory."""
    dataset: str = ""
    """Recorded episodes that fill the replay buffer before a run begins: a folder, or minari:NAMESPACE/NAME-v0. Empty:
    none."""
    memory: str = "auto"
    """Space that the replay buffer may use there, such as 8GiB. auto: a share of what is free. A run that needs more
    stops before it starts."""


@dataclass(frozen=True)
class EnvConfig:
    """How environments are stepped."""

    envs: Annotated[int, Bound(1, 65536)] = 4
    """Number of vectorized environments."""
    keys: str = ".*"
    """Regular expression: which observations of a Dict or Tuple space are used at all."""
    image_keys: str = ""
    """Regular expression: which observations are images although they do not look like it. They need finite bounds,
    which become black and white. A bare observation matches "observation". Empty: none."""
    vector_keys: str = ""
    """Regular expression: which observations are numbers although they look like images. Empty: none."""
    kwargs: tuple[str, ...] = ()
    """Keyword arguments for creating each environment, as name=value: --env.kwargs is_slippery=False map_name=8x8."""
    reset_options: tuple[str, ...] = ()
    """Options of every reset, as name=value."""
    mode: Literal["auto", "serial", "parallel", "async", "vector", "compiled", "offline"] = "auto"
    """How environments are stepped. serial: one after the other in this process. parallel: each in its own worker
    process, in lockstep; for slow environments. async: in worker processes that do not wait for each other; runs are
    not reproducible. vector: by a single gymnasium VectorEnv. compiled: inside the compiled program, for environments
    written in JAX. offline: not at all; training uses replay.dataset alone, and each step is one update. auto: compiled
    where possible, else serial."""
    info: str = r"(?!episode/|TimeLimit\.truncated$|_).*"
    """Regular expression: which numbers and booleans in the info of finished episodes become metrics. The default is
    all but those that Gymnasium's wrappers add for themselves."""
    time_limit: Annotated[int, Bound(0)] = 0
    """Environment steps after which an episode is truncated. 0: only the environment's own limit."""
    action_repeat: Annotated[int, Bound(1)] = 1
    """How many times each action is applied. All repetitions count as one environment step; their rewards are
    summed."""
    restarts: Annotated[int, Bound(0)] = 10
    """How many times in total failed environments are recreated before the run stops with an error."""
    timeout: Annotated[float, Bound(1e-3, 1e6)] = 300.0
    """Seconds after which a worker process that does not answer counts as failed."""


@dataclass(frozen=True)
class RunConfig:
    """How long to train, and what to record."""

    steps: Annotated[int, Bound(1)] = 100_000
    """Environment steps to train for. One step is one decision in one environment."""
    train_ratio: Annotated[float, Bound(0)] = 512.0
    """Replayed steps per environment step. A higher ratio learns more from each step but takes longer."""
    log_every: Seconds = 5.0
    """Seconds between rows of metrics."""
    checkpoint_every: Seconds = 300.0
    """Seconds between checkpoints."""
    keep: Annotated[int, Bound(1)] = 2
    """Number of checkpoints to keep."""
    eval_every: Annotated[int, Bound(0)] = 0
    """Environment steps between evaluations on separate environments. 0: never. Evaluation does not affect training,
    only its duration."""
    eval_episodes: Annotated[int, Bound(1)] = 10
    """Episodes per evaluation."""
    dream_every: Seconds = 300.0
    """Seconds between open-loop predictions, saved in the run's dreams/. 0: never."""
    tensorboard: bool = True
    """Write metrics for TensorBoard too."""
    wandb: str = ""
    """Weights & Biases project that also receives the metrics. Empty: none."""
