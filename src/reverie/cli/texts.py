"""The text under each field of a dataclass, which is a flag's help. May import: nothing of Reverie."""

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any


def texts_of(cls: Any) -> dict[str, str]:
    """The text under each field, by the field's name, those of base classes first. Only the source code has them."""
    return {name: text for one in reversed(cls.__mro__[:-1]) for name, text in _own_texts(one).items()}


def _own_texts(cls: Any) -> dict[str, str]:
    definition = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text).replace("\n", " ")
    return found
