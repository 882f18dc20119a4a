"""JSON from anyone: a typed value, or one error that names the file and the place in it."""

import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.storage import DamagedFileError, as_json, parse, read_document, read_rows, row_as_json

NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**399, -(10**399), 2**63, -1, 0, 1e400, float("nan")]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(), st.sampled_from(["\ud800", "²", ""])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON"),
        ("[" * 10_000, "not JSON|nested too deeply"),
        ("[" * 300 + "]" * 300, "nested more than 200 levels deep"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("1" * 5000, "it is not JSON"),
        (b"\xff", "it is not JSON"),
    ],
)
def test_texts_that_are_no_documents(text, problem):
    with pytest.raises(DamagedFileError, match=f"'here' is damaged: .*{problem}"):
        parse(text, "here")


DOCUMENT = {"a": {"b": [1, {"c": "\ud800", "\udc00": 1}]}, "big": 10**399, "inf": float("inf"), "yes": True}


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda d: d["x"], "'here' is damaged: the document lacks 'x'"),
        (lambda d: d["a"]["b"]["c"], r"'a\.b' should be an object, got \[1, \{"),
        (lambda d: d["a"]["b"].elements(3), r"'a\.b' should be a list of 3, got"),
        (lambda d: d["a"].elements(), "'a' should be a list, got"),
        (lambda d: d["a"]["b"].elements()[1]["c"].text(), r"'a\.b\[1\]\.c' should be a text, got '\\ud800'"),
        (lambda d: d["a"]["b"].elements()[1]["\udc00"].text(), r"'a\.b\[1\]\.'\\udc00'' should be a text, got 1"),
        (lambda d: d["big"].integer(), "'big' should be an integer from 0 to 9,223,372,036,854,775,807, got 1000"),
        (lambda d: d["big"].number(), "'big' should be a finite number, got 1000"),
        (lambda d: d["inf"].number(), "'inf' should be a finite number, got inf"),
        (lambda d: d["yes"].integer(), "'yes' should be an integer"),
        (lambda d: d["yes"].number(), "'yes' should be a finite number"),
        (lambda d: d["inf"].boolean(), "'inf' should be true or false"),
        (lambda d: d["inf"].mapping(), "'inf' should be an object"),
    ],
)
def test_errors_name_the_place_and_what_was_expected(take, message):
    with pytest.raises(DamagedFileError, match=message) as error:
        take(parse(json.dumps(DOCUMENT), "here"))
    str(error.value).encode()  # can be printed
    assert len(str(error.value)) < 200


@given(value=VALUES)
def test_every_value_has_its_type_or_is_refused(value):
    document = parse(json.dumps(value), "here")
    for take, kind in (
        (document.text, str),
        (document.integer, int),
        (document.number, float),
        (document.boolean, bool),
        (document.elements, list),
        (document.fields, dict),
        (document.mapping, dict),
    ):
        try:
            taken = take()
        except DamagedFileError as error:
            str(error).encode()
        else:
            assert type(taken) is kind


@given(value=VALUES)
def test_what_is_written_can_be_read(value):
    text = as_json(value)
    assert json.dumps(parse(text, "here").value) == text


def test_what_could_not_be_read_is_not_written():
    value: list = [1]
    for _ in range(200):
        value = [value]
    with pytest.raises(ValueError, match="nested more than 200"):
        as_json(value)
    assert parse(as_json(value[0]), "here").value == value[0]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(VALUES.map(json.dumps), st.text(string.printable)), max_size=6))
def test_damaged_rows_are_left_out(tmp_path, lines):
    good = row_as_json({"step": 1, "loss": float("nan")})
    path = tmp_path / "metrics.jsonl"
    path.write_text(good + "".join(line.replace("\n", " ").replace("\r", " ") + "\n" for line in lines) + good + '{"st')
    rows = list(read_rows(path))
    assert rows[0] == rows[-1] == {"step": 1, "loss": None}
    assert all(isinstance(row, dict) for row in rows)


def test_endless_files_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'{"step": 1}\n{"step": "' + b"x" * (3 << 20) + b'"}\n{"step": 2}\n')
    assert list(read_rows(path)) == [{"step": 1}, {"step": 2}]
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DamagedFileError, match="expected at most"):
        list(read_rows(path))
    with pytest.raises(DamagedFileError, match="expected at most"):
        read_document(path)
