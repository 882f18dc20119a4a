"""All tasks of some outcomes, compared with published curves or with another version of the code.

May import: `config`, `errors`, and of this room `outcome`, `scores` and `tasks`.
"""

from collections.abc import Callable, Sequence

from reverie.config import differences
from reverie.errors import InputError
from reverie.evidence.outcome import Outcome
from reverie.evidence.scores import Comparison, compare, compare_versions
from reverie.evidence.tasks import IRRELEVANT, all_tasks, unpublished

Tell = Callable[[str], None]


def with_published(outcomes: Sequence[Outcome], method: str, tell: Tell) -> list[Comparison]:
    """The finished outcomes of each task and a method's published curve.

    Args:
        outcomes: of any tasks; those that have not finished are left out.
        method: whose curves.
        tell: receives a sentence about each task that can't be compared.

    Raises:
        InputError: no task can be compared.
    """
    found = []
    for name, of_task in _by_task(outcomes).items():
        try:
            if name not in all_tasks():
                raise InputError(f"There is no published curve of {name!r}.")
            found.append(compare(all_tasks()[name], of_task, method))
        except InputError as error:
            tell(str(error))
    if not found:
        raise InputError("No run with a published curve has finished, so there is nothing to compare yet.")
    return found


def with_version(
    ours: Sequence[Outcome], theirs: Sequence[Outcome], name: str, method: str, tell: Tell
) -> list[Comparison]:
    """The finished outcomes of two versions of the code, on the tasks and seeds that both have.

    Args:
        ours: outcomes of the one version.
        theirs: outcomes of the other.
        name: what to call the other.
        method: whose published bins are used, where there are any.
        tell: receives a sentence about each task that can't be compared, and about settings that differ.

    Raises:
        InputError: no task can be compared.
    """
    found, other = [], _by_task(theirs)
    for task, mine in _by_task(ours).items():
        if task not in other:
            continue
        published = all_tasks().get(task) or unpublished(mine[0].env, mine[0].frames)
        try:
            found.append(compare_versions(published, mine, other[task], name, method))
        except InputError as error:
            tell(str(error))
        changed = differences(mine[0].config, other[task][0].config, IRRELEVANT)
        if changed:
            listed = ", ".join(f"{setting} {a} and {b}" for setting, (a, b) in changed.items())
            tell(f"Settings of {task} differ between the versions: {listed}.")
    if not found:
        raise InputError(f"No task and seed has finished both here and in {name}, so there is nothing to compare.")
    return found


def _by_task(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The finished outcomes of each task, by seed."""
    found: dict[str, list[Outcome]] = {}
    for one in sorted(outcomes, key=lambda one: one.seed):
        if one.finished:
            found.setdefault(one.task, []).append(one)
    return found
