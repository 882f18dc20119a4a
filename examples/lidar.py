"""A custom encoder: a 1-D convolution over the distances that a laser scanner measures.

    python examples/lidar.py                               trains a small agent for a minute
    reverie train lidar:make --model.encoders scan=conv    the same from the command line, in this folder
"""

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

import reverie
from reverie.config import ModelConfig
from reverie.nn import Linear, RMSNorm


class ScanEncoder(eqx.Module):
    """Two strided convolutions along the scan, then a linear layer."""

    first: eqx.nn.Conv1d
    second: eqx.nn.Conv1d
    out: Linear
    norm: RMSNorm
    size: int = eqx.field(static=True)

    def __init__(self, feature, *, units, depth, key):
        keys = jax.random.split(key, 3)
        (beams,) = feature.shape
        self.first = eqx.nn.Conv1d(1, 2 * depth, kernel_size=5, stride=2, padding=2, key=keys[0])
        self.second = eqx.nn.Conv1d(2 * depth, 4 * depth, kernel_size=5, stride=2, padding=2, key=keys[1])
        self.out = Linear(4 * depth * -(-beams // 4), units, key=keys[2])
        self.norm, self.size = RMSNorm(units), units

    def __call__(self, scan):
        def embed(x):  # one scan, (beams,)
            x = jax.nn.silu(self.first(x.astype(self.first.weight.dtype)[None]))
            return jax.nn.silu(self.second(x)).reshape(-1)

        flat = jax.vmap(embed)(jnp.log1p(scan).reshape((-1, scan.shape[-1])))
        return jax.nn.silu(self.norm(self.out(flat.reshape((*scan.shape[:-1], -1)))))


reverie.register_encoder("conv", ScanEncoder)


class Corridor(gym.Env):
    """A robot in a ring of walls, with one gap. It earns 1 whenever it faces the gap."""

    observation_space = gym.spaces.Dict({"scan": gym.spaces.Box(0, 10, (32,), np.float32)})
    action_space = gym.spaces.Discrete(3)  # turn left, stay, turn right

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.gap, self.time = int(self.np_random.integers(32)), 0
        return self._scan(), {}

    def step(self, action):
        self.gap, self.time = (self.gap + int(action) - 1) % 32, self.time + 1
        return self._scan(), float(self.gap == 16), False, self.time >= 50, {}

    def _scan(self):
        scan = self.np_random.uniform(1, 2, 32).astype(np.float32)
        scan[self.gap] = 10
        return {"scan": scan}


def make() -> gym.Env:
    return Corridor()


if __name__ == "__main__":
    model = ModelConfig(deter=64, hidden=32, groups=8, classes=4, units=32, depth=2, encoders=("scan=conv",))
    reverie.train(make, reverie.Config(model=model), steps=2000)
