"""Published curves for the plot of some runs. May import: `config`, `errors`, `results`, `published`, `tasks`."""

from collections.abc import Sequence

from reverie.config import differences
from reverie.errors import InputError
from reverie.evidence.published import DREAMERV3
from reverie.evidence.tasks import IRRELEVANT, Task, similar, task_of_run
from reverie.results import Curve, Reference

SHOWN = 4  # settings that a note names


def overlays(found: Sequence[Curve], methods: Sequence[str] = (DREAMERV3,)) -> tuple[list[Reference], list[str]]:
    """The published curves of the environments of some curves, in environment steps.

    Args:
        found: curves of episode returns.
        methods: whose curves.

    Returns:
        The published curves, and sentences that say which runs differ from the published settings.

    Raises:
        InputError: none of the environments has a published curve, or a method has none.
    """
    references: dict[tuple[str, str], Reference] = {}
    notes = []
    for curve in found:
        config = curve.runs[0].config
        task = task_of_run(curve.env, config)
        if task is None:
            notes.append(_unknown(curve.env))
            continue
        if note := _changed(task, curve):
            notes.append(note)
        per_step = task.frames_per_step * config.env.action_repeat
        for method in methods:
            one = task.published(method)
            reference = Reference(curve.env, f"published: {one}", one.frames / per_step, one.mean, one.std)
            references.setdefault((curve.env, method), reference)
    if not references:
        raise InputError(" ".join(dict.fromkeys(notes)))
    return list(references.values()), list(dict.fromkeys(notes))


def _unknown(env: str) -> str:
    if env == "CartPole-v1":
        return (
            "CartPole-v1 has curves in two settings, the default one and that of small/cartpole "
            "('reverie benchmark --list'), and this run has neither."
        )
    return f"There is no published curve of {env!r}{similar(env)}"


def _changed(task: Task, curve: Curve) -> str | None:
    """A sentence about settings that differ from those of the published curve."""
    changed = differences(curve.runs[0].config, task.config, IRRELEVANT)
    if not changed:
        return None
    listed = [f"{name} {ours} instead of {theirs}" for name, (ours, theirs) in list(changed.items())[:SHOWN]]
    more = f", and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    label = f" ({curve.label})" if curve.label else ""
    return f"{curve.env}{label} was trained with other settings than the published curve: {', '.join(listed)}{more}."
