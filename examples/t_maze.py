"""Does the agent remember? A corridor shows a cue at its start and asks for it at its end.

    reverie train t_maze:TMaze --logdir runs/maze      in this folder
    python t_maze.py runs/maze                         the same agent with its memory, and without
"""

import sys

import gymnasium as gym
import numpy as np

import reverie


class TMaze(gym.Env):
    """A corridor that ends in a junction; the way to turn is shown in the first step only.

    The corridor carries the agent forward, whatever it does. At the junction, `length` steps after the cue, it turns
    left (0) or right (1): +1 for the way that the cue pointed, -1 for the other. A policy without memory earns 0 on
    average, a perfect one 1.

    Observation: the cue (-1 left, 1 right, 0 when it is no longer shown) and whether this is the junction (0 or 1).
    """

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=20):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.way, self.place = int(self.np_random.integers(2)), 0
        return np.array([2 * self.way - 1, 0], np.float32), {}

    def step(self, action):
        if self.place == self.length:
            return np.zeros(2, np.float32), 1.0 if action == self.way else -1.0, True, False, {}
        self.place += 1
        return np.array([0, self.place == self.length], np.float32), 0.0, False, False, {}


def mean_return(agent, memory, episodes=200):
    """The mean return; without memory, every step is taken as the first of an episode."""
    env, total = TMaze(), 0.0
    carry = agent.initial_carry()
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        first, done = True, False
        while not done:
            action, carry = agent.act(observation, carry, deterministic=True, is_first=first or not memory)
            observation, reward, done, _, _ = env.step(action)
            total, first = total + reward, False
    return total / episodes


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    agent = reverie.Agent.load(sys.argv[1])
    print(f"with memory     {mean_return(agent, memory=True):+.2f}")
    print(f"without memory  {mean_return(agent, memory=False):+.2f}")
