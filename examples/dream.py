"""Look into the world model: observe the start of a real episode, then imagine how it continues with the policy.

python examples/dream.py runs/cartpole CartPole-v1
"""

import sys

import jax
import numpy as np

import reverie
from reverie.distributions import SymlogVector
from reverie.ops import symexp


def main(folder: str, env_id: str, seen: int = 5, horizon: int = 10) -> None:
    agent = reverie.Agent.load(folder)
    env = reverie.make_env(env_id)
    observation, _ = env.reset(seed=0)
    action, carry = agent.act(observation, agent.initial_carry())
    for _ in range(seen):
        observation, _, terminated, truncated, _ = env.step(action)
        action, carry = agent.act(observation, carry)
        if terminated or truncated:
            break

    latent, model = carry.latent, agent.world_model
    for step, key in enumerate(jax.random.split(jax.random.key(0), horizon)):
        policy_key, model_key = jax.random.split(key)
        policy = agent.actor(latent.features, model.allowed(latent))
        latent = model.imagine(latent, policy.sample(policy_key), model_key)
        reward, cont = model.reward(latent).prediction()[0], model.cont(latent).prediction()[0]
        print(f"imagined step {step + 1}: reward {reward:.2f}, continue {cont:.3f}")
        for name, output in model.decode(latent).items():
            value = output.prediction()[0]
            value = np.asarray(symexp(value) if isinstance(output, SymlogVector) else value)
            print(f"  {name}: {value.round(2) if value.size < 20 else f'{value.shape}, mean {value.mean():.2f}'}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
