"""Forms for a CPU: examples lie in columns (features, N), and layers that read the same input share a product.

Splitting features into blocks and gates is free in this layout, and norms reduce over the outer axis, so that the inner
loop runs along N.
"""

from reverie.learner import Forms
from reverie.tuned.cpu.look_ahead import look_ahead
from reverie.tuned.cpu.rssm import observe

FORMS = Forms(observe, look_ahead)

__all__ = ["FORMS", "look_ahead", "observe"]
