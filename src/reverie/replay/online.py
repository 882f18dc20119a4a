"""The online queue: trains on every freshly collected sequence once, before older ones (section 5).

May import: nothing of Reverie.
"""

import numpy as np


class OnlineQueue:
    """Yields the sequences of N streams in the order of completion, each exactly once.

    A sequence is one context record and T = `sequence` - 1 records to train on. The last record of a sequence is
    the context of the next one; otherwise they do not overlap. So the trained records cover the stream from record 1
    on, without gaps. Record 0 is only ever a context.

    The queue stores one number per stream, the id of the next context record.
    """

    def __init__(self, num_streams: int, sequence: int) -> None:
        self._sequence = sequence
        self.contexts = np.zeros(num_streams, np.int64)

    def take(self, limit: int, oldest: np.ndarray, count: np.ndarray) -> list[tuple[int, int]]:
        """Remove up to `limit` complete sequences from the queue, and return the stream and the first id of each.

        The sequence whose stream has received the most records since it began comes first. If streams advance together,
        that is the order of completion. Sequences that begin before `oldest` have been overwritten and are dropped.

        Args:
            limit: how many sequences at most.
            oldest: (N,), the oldest record that each stream holds.
            count: (N,), the number of records that each stream has received.
        """
        trained = self._sequence - 1
        overwritten = np.maximum(oldest - self.contexts, 0)
        self.contexts += -(-overwritten // trained) * trained  # rounded up, to stay on the tiling
        taken: list[tuple[int, int]] = []
        while len(taken) < limit and (count - self.contexts).max() >= self._sequence:
            stream = int((count - self.contexts).argmax())
            taken.append((stream, int(self.contexts[stream])))
            self.contexts[stream] += trained
        return taken
