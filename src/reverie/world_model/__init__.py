"""The world model (docs/algorithm.md, section 3).

May import: `ops`, `nn`, `distributions`, `spaces`, `errors`; it does not know the behavior.
"""

from reverie.world_model.custom import chosen_decoders, chosen_encoders, register_decoder, register_encoder
from reverie.world_model.inputs import encode_actions
from reverie.world_model.model import WorldModel, WorldModelOutput
from reverie.world_model.rssm import RSSM, Latent, Observe

__all__ = [
    "RSSM",
    "Latent",
    "Observe",
    "WorldModel",
    "WorldModelOutput",
    "chosen_decoders",
    "chosen_encoders",
    "encode_actions",
    "register_decoder",
    "register_encoder",
]
