"""Look at what the world model believes: observe a real episode's beginning, then dream on with the policy.

python examples/dream.py runs/cartpole CartPole-v1
"""

import sys

import gymnasium as gym
import jax

import reverie
from reverie.ops import symexp


def main(folder: str, env_id: str, context: int = 5, horizon: int = 10) -> None:
    agent = reverie.Agent.load(folder)
    env = gym.make(env_id)
    observation, _ = env.reset(seed=0)
    carry = agent.initial_carry()
    for _ in range(context):
        action, carry = agent.act(observation, carry)
        observation, *_ = env.step(action)
    _, carry = agent.act(observation, carry)

    latent, model = carry.latent, agent.world_model
    print("step  reward  continue  " + "  ".join(agent.spaces.observation))
    for step, key in enumerate(jax.random.split(jax.random.key(0), horizon)):
        action = agent.actor(latent.features).sample(key)
        latent = model.imagine(latent, action, key)
        seen = [symexp(output.prediction()[0]).round(2) for output in model.decode(latent).values()]
        reward, cont = model.reward(latent).prediction()[0], model.cont(latent).prediction()[0]
        print(f"{step + 1:4d}  {reward:6.2f}  {cont:8.3f}  {'  '.join(map(str, seen))}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
