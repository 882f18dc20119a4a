"""Reads JSON that anyone may have written: every value is checked, and an error names the file and the place in it.

`read_document` and `read_rows` are the only readers of JSON from a run folder. A `Document` is a value together with
its place; its methods return the value in the expected type, or raise. May import: `errors` and `files`.
"""

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from reverie.storage.files import DamagedFileError, open_to_read, read_bytes

Json = Any  # None, bool, int, float, str, and lists and dicts of them

LARGEST = 2**26  # bytes of a document
LARGEST_ROWS, LARGEST_ROW = 2**31, 2**20  # bytes of a file of rows, and of one of them
DEEPEST = 200  # objects and lists inside of each other
LARGEST_INTEGER = 2**63 - 1


class Document:
    """A value in a JSON document.

    Args:
        value: as `json` returns it.
        source: what it was read from, for errors.
        place: where it is in the document, such as `meta.replay.count[3]`; empty for the whole.
    """

    def __init__(self, value: Json, source: object, place: str = "") -> None:
        self.value, self._source, self._place = value, source, place

    def fail(self, problem: str) -> NoReturn:
        """Raise a DamagedFileError: `problem` completes the sentence that begins with the place."""
        subject = f"'{self._place}'" if self._place else "the document"
        raise DamagedFileError(f"'{self._source}' is damaged: {subject} {problem}.")

    def expected(self, what: str) -> NoReturn:
        """Raise a DamagedFileError which says that `what` was expected here."""
        self.fail(f"should be {what}, got {_shown(self.value)}")

    def __contains__(self, name: str) -> bool:
        return name in self.fields()

    def __getitem__(self, name: str) -> "Document":
        """The field of an object; fails if it is missing."""
        fields = self.fields()
        if name not in fields:
            self.fail(f"lacks {name!r}")
        return fields[name]

    def fields(self) -> dict[str, "Document"]:
        """The fields of an object."""
        if not isinstance(self.value, dict):
            self.expected("an object")
        prefix = f"{self._place}." if self._place else ""
        return {name: Document(value, self._source, prefix + _name(name)) for name, value in self.value.items()}

    def elements(self, length: int | None = None) -> list["Document"]:
        """The elements of a list, of this length if one is given."""
        if not isinstance(self.value, list) or length not in (None, len(self.value)):
            self.expected("a list" if length is None else f"a list of {length}")
        return [Document(value, self._source, f"{self._place}[{i}]") for i, value in enumerate(self.value)]

    def mapping(self) -> dict[str, Json]:
        """An object whose fields are checked elsewhere."""
        if not isinstance(self.value, dict):
            self.expected("an object")
        return self.value

    def settings(self) -> dict[str, Json]:
        """An object whose fields are checked elsewhere, in which texts can be printed and integers have 64 bits."""
        inside = list(self.fields().values())
        while inside:
            document = inside.pop()
            if isinstance(document.value, dict | list):
                inside += document.fields().values() if isinstance(document.value, dict) else document.elements()
            elif isinstance(document.value, str):
                document.text()
            elif type(document.value) is int:
                document.integer(-LARGEST_INTEGER - 1)
        return self.mapping()

    def text(self) -> str:
        """A text without lone surrogates, which could not be printed."""
        if not isinstance(self.value, str) or not _is_printable(self.value):
            self.expected("a text")
        return self.value

    def integer(self, low: int = 0, high: int = LARGEST_INTEGER) -> int:
        """An integer from `low` to `high`."""
        if type(self.value) is not int or not low <= self.value <= high:
            self.expected(f"an integer from {low:,} to {high:,}")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if type(self.value) not in (int, float) or not math.isfinite(_as_float(self.value)):
            self.expected("a finite number")
        return float(self.value)

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.expected("true or false")
        return self.value


def parse(text: str | bytes, source: object) -> Document:
    """The document in a text.

    Raises:
        DamagedFileError: the text is not JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is not JSON ({error})"
        raise DamagedFileError(f"'{source}' is damaged: {problem}.") from error
    if _is_deeper(value, DEEPEST):
        raise DamagedFileError(f"'{source}' is damaged: it is nested more than {DEEPEST} levels deep.")
    return Document(value, source)


def read_document(path: Path, largest: int = LARGEST) -> Document:
    """The JSON document in a regular file of at most `largest` bytes.

    Raises:
        DamagedFileError: it is missing, a link, too large, or not JSON.
        OSError: the system can't read it.
    """
    return parse(read_bytes(path, largest), path)


def read_rows(path: Path) -> Iterator[dict[str, Json]]:
    """The objects in a file of JSON lines. Lines that are damaged, cut off, or longer than 1 MiB are left out.

    Raises:
        DamagedFileError: the file is missing, a link, or larger than 2 GiB.
        OSError: the system can't read it.
    """
    with open_to_read(path, LARGEST_ROWS) as file:
        while line := file.readline(LARGEST_ROW):
            if not line.endswith(b"\n") and len(line) == LARGEST_ROW:
                while (rest := file.readline(LARGEST_ROW)) and not rest.endswith(b"\n"):
                    pass
                continue
            try:
                value = parse(line, path).value
            except DamagedFileError:
                continue
            if isinstance(value, dict):
                yield value


def as_json(value: Json) -> str:
    """A value as the text of a document which `parse` accepts.

    Raises:
        ValueError, TypeError: JSON can't hold it, or it is nested too deeply.
    """
    text = json.dumps(value)
    if _is_deeper(value, DEEPEST):
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return text


def row_as_json(values: Mapping[str, Json]) -> str:
    """A row of numbers as a line of JSON; numbers that are not finite become null."""
    finite = {name: x if not isinstance(x, float) or math.isfinite(x) else None for name, x in values.items()}
    return json.dumps(finite) + "\n"


def _is_deeper(value: Json, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` levels deep; without recursion."""
    level = [value]
    for _ in range(depth):
        level = [x for x in level if isinstance(x, dict | list | tuple)]
        if not level:
            return False
        level = [x for inner in level for x in (inner.values() if isinstance(inner, dict) else inner)]
    return any(isinstance(x, dict | list | tuple) for x in level)


def _is_printable(text: str) -> bool:
    return not any("\ud800" <= x <= "\udfff" for x in text)


def _name(name: str) -> str:
    return name if _is_printable(name) and len(name) < 80 else _shown(name)


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _shown(value: Json) -> str:
    """A value for a message, shortened."""
    return reprlib.repr(value)
