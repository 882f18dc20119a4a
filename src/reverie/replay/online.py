"""The online queue: every freshly collected sequence is trained on once, before older ones (Section 5).

May import: nothing of Reverie.
"""

import numpy as np


class OnlineQueue:
    """Hands out the sequences of N streams as they are completed, each exactly once.

    A sequence is one context record and the T = `sequence` - 1 records that are trained on. The last record
    of one sequence is the context of the next, and that is all they share: the trained records tile the
    stream, without gap or overlap, from record 1 on. Record 0 can only ever be context.

    The queue keeps one number per stream, the id of the next context record; everything else follows from it.
    """

    def __init__(self, num_streams: int, sequence: int) -> None:
        self._sequence = sequence
        self.contexts = np.zeros(num_streams, np.int64)

    def take(self, limit: int, oldest: np.ndarray, count: np.ndarray) -> list[tuple[int, int]]:
        """At most `limit` sequences within `oldest` ≤ id < `count`, both (N,), each as its stream and its first id.

        Of several that are complete, first comes the one whose stream has gone on furthest since it began; where
        streams advance together, that is the order of completion. Sequences that begin before `oldest` have been
        overwritten; they are dropped.
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
