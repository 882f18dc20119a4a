"""Settings in a YAML file. May import: `errors`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reverie.errors import InputError


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as in YAML 1.2; in YAML 1.1 it is a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings in a file, unchecked.

    Raises:
        InputError: the file cannot be read, or is not a YAML mapping.
    """
    path = Path(path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise InputError(f"The config '{path}' cannot be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"The config '{path}' is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(data or {}, dict):
        raise InputError(f"The config '{path}' must map names of settings to values, such as 'run: {{steps: 1}}'.")
    return data or {}


def as_yaml(settings: Mapping[str, Any]) -> str:
    """Settings as the text of a file."""
    return yaml.dump(dict(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """YAML with tuples as lists."""


_Dumper.add_representer(tuple, lambda dumper, items: dumper.represent_list(items))
