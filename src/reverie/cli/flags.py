"""How commands and settings become flags, each with its text, its default and its bound.

May import: `config`, `errors`, `primitives`, `texts`.
"""

from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import partial
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from reverie.cli.primitives import choice, number
from reverie.cli.texts import texts_of
from reverie.config import SHORT, Config
from reverie.config.bound import bound_of
from reverie.config.values import converted
from reverie.errors import InputError

MARKERS = (tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName)


def _explained(info: StructTypeInfo, *, unchecked: bool = False) -> StructConstructorSpec | None:
    """The flags of a command or of a group of settings; `unchecked` makes dictionaries of them."""
    kind: Any = info.type
    if not hasattr(kind, "__dataclass_fields__") or not kind.__module__.startswith("reverie."):
        return None
    default = info.default if isinstance(info.default, kind) else None
    config = getattr(default, "config", None) or Config()
    texts, hints = texts_of(kind), get_type_hints(kind, include_extras=True)
    flags = []
    for one in fields(kind):
        required = one.default is MISSING and one.default_factory is MISSING
        value = getattr(default, one.name) if default and not required else _default(one)
        if one.name in SHORT and one.name not in texts:
            hint, text = _short(one.name, hints[one.name], config)
        else:
            hint, text = _with_bound(hints[one.name], value), texts.get(one.name, "")
        flags.append(StructFieldSpec(one.name, hint, value, text))
    return StructConstructorSpec(dict if unchecked else kind, tuple(flags))


def _registry(*, unchecked: bool) -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(number)
    registry.primitive_rule(choice)
    registry.struct_rule(partial(_explained, unchecked=unchecked))
    return registry


CHECKED, UNCHECKED = _registry(unchecked=False), _registry(unchecked=True)


def _short(name: str, hint: Any, config: Config) -> tuple[Any, str]:
    """A flag that is short for a setting: its annotation, and the setting's text."""
    group, _, key = SHORT[name].partition(".")
    settings = getattr(config, group)
    shown = _hint(_setting(SHORT[name]), getattr(settings, key))
    return Annotated[hint, tyro.conf.arg(help_behavior_hint=shown)], texts_of(type(settings))[key]


def _setting(path: str) -> Any:
    """The annotation of a setting."""
    group, _, key = path.partition(".")
    return get_type_hints(get_type_hints(Config)[group], include_extras=True)[key]


def _with_bound(hint: Any, value: Any) -> Any:
    """An annotation whose flag shows the default and the bound, if there are any."""
    if is_dataclass(value) or value is tyro.MISSING_NONPROP or isinstance(value, bool):
        return hint
    return Annotated[hint, tyro.conf.arg(help_behavior_hint=_hint(hint, value))]


def _hint(hint: Any, value: Any) -> str:
    """What stands after a flag's text: "(default: 4; at least 1)"."""
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    parts = [] if value is None or shown == "" else [f"default: {shown}"]
    parts += [str(bound)] if (bound := bound_of(hint)) else []
    return f"({'; '.join(parts)})" if parts else ""


def _default(one: Field[Any]) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return tyro.MISSING_NONPROP if one.default is MISSING else one.default


def completed(command: Any) -> Any:
    """A command whose short flags are among its settings, if it has settings.

    Raises:
        InputError: a flag's value is not allowed.
    """
    _check(command)
    if not hasattr(command, "config"):
        return command
    given = {name: getattr(command, name) for name in SHORT if getattr(command, name, None) is not None}
    return replace(command, config=command.config.override(**given))


def _check(command: Any) -> None:
    for name, hint in get_type_hints(type(command), include_extras=True).items():
        value, flag = getattr(command, name), f"--{name.replace('_', '-')}"
        if value is not None and name in SHORT:
            converted(_setting(SHORT[name]), value, flag)
        elif value is not None and (bound := bound_of(hint)) and (problem := bound.problem(value)):
            raise InputError(f"{flag} must be {problem}, got {value}.")
