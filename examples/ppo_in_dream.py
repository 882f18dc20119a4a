"""Train PPO in the world model of a finished run, then play in the real environment. Needs: stable-baselines3.

    python examples/ppo_in_dream.py runs/cartpole CartPole-v1
"""

import sys

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from reverie.dreams import DreamEnv, Dreamer

STEPS = 100_000  # in the dream


def main(run, env_id):
    dreamer = Dreamer.load(run, moments=256)
    dreams = make_vec_env(lambda: DreamEnv(dreamer.agent, dreamer.moments), n_envs=8, seed=0)
    policy = PPO("MlpPolicy", dreams, n_steps=256, seed=0, device="cpu")
    real = Monitor(gym.make(env_id))
    for steps in (0, STEPS):
        if steps:
            policy.learn(steps)
        mean, std = evaluate_policy(policy, real, n_eval_episodes=20, deterministic=False)
        print(f"{steps:,} imagined steps: return {mean:.1f} ± {std:.1f} over 20 real episodes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
