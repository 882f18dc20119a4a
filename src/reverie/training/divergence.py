"""Notices when training diverges: updates whose loss or gradient is not finite are skipped; too many end the run.

May import: `errors`, `experience`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from reverie.errors import ReverieError
from reverie.experience import Experience
from reverie.learner import Networks

# Skipped updates in a row after which the batch is kept for inspection, and after which the run ends.
KEEP_BATCH_AFTER, STOP_AFTER = 5, 20


class DivergedError(ReverieError, RuntimeError):
    """Too many updates in a row had a loss or gradient that was not finite."""

    def __init__(self, updates: int) -> None:
        super().__init__(
            f"Training diverged after {updates:,} updates: loss or gradient are no longer finite. The parameters are "
            "those of the last good update. Lower optimizer.learning_rate, or check the environment's rewards."
        )


class Divergence:
    """Watches for skipped updates in a row.

    Args:
        keep: writes a batch for inspection and returns the sentence that says where it is; None without a folder.
        warn: called once for each series of skipped updates.
    """

    def __init__(self, keep: Callable[[Experience], str] | None, warn: Callable[[str], None]) -> None:
        self._keep, self._warn, self._warned = keep, warn, False

    def watch(self, skipped: int, now: int, batch: Experience | None) -> bool:
        """Keep the batch of a long series of skipped updates.

        Args:
            skipped: the longest series since the last call.
            now: the length of the series that has not ended yet.
            batch: the batch of the newest skipped update.

        Returns:
            Whether the run should end.
        """
        if skipped >= KEEP_BATCH_AFTER and not self._warned and self._keep and batch:
            self._warn(f"{skipped} updates in a row were skipped; the newest batch {self._keep(batch)}.")
        self._warned = now >= KEEP_BATCH_AFTER
        return skipped >= STOP_AFTER


def has_diverged(networks: Networks) -> bool:
    """Whether some parameter is not finite; False if an update has failed that the parameters were donated to."""
    try:
        return not all_finite(networks)
    except RuntimeError:
        return False


@jax.jit
def all_finite(networks: Networks) -> jax.Array:
    """Whether every parameter is finite, (), bool."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(networks)]))
