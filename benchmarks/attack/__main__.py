"""`python -m benchmarks.attack COMMAND`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.attack.churn import Churn
from benchmarks.attack.corruptions import Corruptions
from benchmarks.attack.disks import Disks
from benchmarks.attack.documents import Documents
from benchmarks.attack.environments import Environments
from benchmarks.attack.kills import Kills
from benchmarks.attack.record import OUTPUT, summary
from benchmarks.attack.signals import Signals


@dataclass(frozen=True)
class Summary:
    """Print how many attacks of each kind a file holds, and how many had a problem."""

    output: Path = OUTPUT

    def __call__(self) -> None:
        print(summary(self.output))


Settings = Kills | Corruptions | Documents | Signals | Disks | Environments | Churn | Summary

if __name__ == "__main__":
    tyro.cli(Settings, prog="python -m benchmarks.attack")()  # type: ignore[call-overload]
