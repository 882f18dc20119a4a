"""The text under each field of a dataclass, which is a flag's help. May import: nothing of Reverie."""

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any


def texts_of(cls: Any) -> dict[str, str]:
    """The text under each field, by the field's name. Python keeps them in the source only."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text).replace("\n", " ")
    return found
