"""Play an episode with an exported policy. Needs gymnasium, numpy and onnxruntime: neither Reverie nor JAX.

    reverie export runs/cartpole policy.onnx
    python examples/play_onnx.py policy.onnx CartPole-v1
"""

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import onnxruntime


def main(model, env_id):
    policy = onnxruntime.InferenceSession(model)
    contract = json.loads(Path(model).with_suffix(".json").read_text())
    outputs = [port["name"] for port in contract["outputs"]]
    observation_port = contract["inputs"][0]
    state = {
        port["name"]: np.zeros((1, *port["shape"][1:]), port["dtype"])
        for port in contract["inputs"]
        if port["name"].startswith("state/")
    }

    env = gym.make(env_id)
    observation, _ = env.reset(seed=0)
    first, done, total = True, False, 0.0
    while not done:
        inputs = {
            observation_port["name"]: np.asarray(observation, observation_port["dtype"])[None],
            "is_first": np.array([first]),
            **state,
        }
        result = dict(zip(outputs, policy.run(outputs, inputs), strict=True))
        state = {contract["state"][name]: x for name, x in result.items() if name in contract["state"]}
        action = result["action"][0].astype(env.action_space.dtype)
        observation, reward, terminated, truncated, _ = env.step(action)
        first, done, total = False, terminated or truncated, total + float(reward)
    print(f"return {total}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
