"""What runs have left, read and shown. No model is loaded and no JAX imported. May import: `config`, `errors`.

runs        a run's folder, read also while the run goes on
statistics  the interquartile mean over seeds, and how sure it is
curves      learning curves of groups of runs
plot        these as a picture and a table
report      one run on one page
charts      the page's own drawings
"""

from reverie.results.curves import Curve, curves
from reverie.results.plot import plot, table
from reverie.results.report import write_report
from reverie.results.runs import Run, find_runs, read_metrics
from reverie.results.statistics import bootstrap_interval, interquartile_mean

__all__ = [
    "Curve",
    "Run",
    "bootstrap_interval",
    "curves",
    "find_runs",
    "interquartile_mean",
    "plot",
    "read_metrics",
    "table",
    "write_report",
]
