"""Load a trained agent and play one episode: python examples/act.py runs/cartpole CartPole-v1"""

import sys

import reverie


def main(folder: str, env_id: str) -> None:
    agent = reverie.Agent.load(folder)
    env = reverie.make_env(env_id)
    observation, _ = env.reset(seed=0)
    carry, total, done = agent.initial_carry(), 0.0, False
    while not done:
        action, carry = agent.act(observation, carry, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, done = total + float(reward), terminated or truncated
    print(f"return {total}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
