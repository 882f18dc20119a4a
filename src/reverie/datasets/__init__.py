"""Recorded episodes: reading, checking and writing datasets.

May import: `errors`, `experience`, `spaces`, `storage`; Gymnasium. Minari is an extra, imported on demand.

    episode      one episode in the environment's own terms, and as the records that the replay buffer holds
    dataset      what readers and writers have in common
    folder       a folder with one file per episode
    from_minari  Minari's datasets
    opening      the functions that choose among them by name
"""

from reverie.datasets.dataset import Dataset, DatasetError, Writer
from reverie.datasets.episode import Episode, as_episode, as_records
from reverie.datasets.opening import create_dataset, open_dataset

__all__ = ["Dataset", "DatasetError", "Episode", "Writer", "as_episode", "as_records", "create_dataset", "open_dataset"]
