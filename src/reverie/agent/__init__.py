"""The agent: acts, is saved and loaded, and shows its world model.

May import: `learner` and below, `spaces`, `config`, `storage`.

    acting    one step of the policy, for a batch of environments
    saved     reads agents and checkpoints from folders
    transfer  copies the parameters that fit from one agent to another
    agent     `Agent` itself
"""

from reverie.agent.acting import Carry, Keys, initial_carry, keep_rows, policy_step
from reverie.agent.agent import ActionDetails, Agent
from reverie.agent.saved import (
    CheckpointChoice,
    DamagedCheckpointWarning,
    Description,
    SavedCheckpoint,
    find_checkpoint,
    list_checkpoints,
    read_description,
)
from reverie.agent.transfer import Transfer, transfer

__all__ = [
    "ActionDetails",
    "Agent",
    "Carry",
    "CheckpointChoice",
    "DamagedCheckpointWarning",
    "Description",
    "Keys",
    "SavedCheckpoint",
    "Transfer",
    "find_checkpoint",
    "initial_carry",
    "keep_rows",
    "list_checkpoints",
    "policy_step",
    "read_description",
    "transfer",
]
