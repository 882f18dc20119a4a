"""Read and present what runs wrote: learning curves and report pages. Loads no model and imports no JAX.

May import: `config`, `errors`, `storage`, `text`.

runs        a run's folder, readable while the run is still training
statistics  the interquartile mean over seeds and its confidence interval
curves      learning curves of groups of runs
plot        learning curves as a picture, a CSV file and a table
panels      the panels of a picture
provenance  when, where and with which versions a run was trained
health      marks of a run's metrics against healthy runs
report      an HTML page about one run
html, charts the parts of such pages
"""

from reverie.results.curves import Curve, curves
from reverie.results.panels import Reference
from reverie.results.plot import plot, table
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
