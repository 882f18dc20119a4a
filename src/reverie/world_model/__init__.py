"""The world model (section 3). May import: `ops`, `nn`, `distributions`, `spaces`; it does not know the behaviour."""

from reverie.world_model.inputs import encode_actions
from reverie.world_model.model import WorldModel, WorldModelOutput
from reverie.world_model.rssm import RSSM, Latent, Observe

__all__ = ["RSSM", "Latent", "Observe", "WorldModel", "WorldModelOutput", "encode_actions"]
