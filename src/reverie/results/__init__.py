"""Read and present what runs wrote: learning curves and report pages. Loads no model and imports no JAX.

May import: `config`, `errors`, `storage`, `text`.

runs        a run's folder, readable while the run is still training
statistics  the interquartile mean over seeds and its confidence interval
curves      learning curves of groups of runs
plot        learning curves as a picture, a CSV file and a table
provenance  when, where and with which versions a run was trained
report      an HTML page about one run
charts      the charts of that page
"""

from reverie.results.curves import Curve, curves
from reverie.results.plot import Reference, plot, table
from reverie.results.report import write_report
from reverie.results.runs import Run, find_runs, read_metrics
from reverie.results.statistics import bootstrap_interval, interquartile_mean

__all__ = [
    "Curve",
    "Reference",
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
