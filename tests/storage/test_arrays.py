"""Arrays in files: they load as they were saved, or the error says what is wrong with the file."""

import os
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.storage import (
    DamagedFileError,
    as_tree,
    copied,
    read_arrays,
    read_slices,
    write_arrays,
    write_text,
)

ARRAYS = {
    "['a'].weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.asarray(jnp.linspace(-3, 3, 5, dtype=jnp.bfloat16)),
    "bytes": np.arange(7, dtype=np.uint8),
    "flags": np.array([True, False]),
    "wide": np.array([2**40, -1]),
    "scalar": np.array(3, np.int32),
    "none": np.zeros((0, 4), np.float32),
    "turned": np.arange(6.0).reshape(2, 3).T,
}


def test_arrays_come_back_as_they_were(tmp_path):
    checksum = write_arrays(tmp_path / "file.safetensors", ARRAYS)
    back = read_arrays(tmp_path / "file.safetensors", checksum)
    assert set(back) == set(ARRAYS)
    for name, x in ARRAYS.items():
        assert back[name].dtype == x.dtype
        np.testing.assert_array_equal(back[name], x)
    assert [path.name for path in tmp_path.iterdir()] == ["file.safetensors"]  # no temporary file is left


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(tmp_path, position, bit):
    path = tmp_path / "file.safetensors"
    checksum = write_arrays(path, ARRAYS)
    contents = bytearray(path.read_bytes())
    contents[int(position * len(contents))] ^= 1 << bit
    path.write_bytes(contents)
    try:
        back = read_arrays(path, checksum)
    except DamagedFileError:
        return
    for name, x in ARRAYS.items():  # a bit without a meaning, such as in the padding of the header
        np.testing.assert_array_equal(back[name], x)


@pytest.mark.parametrize("length", [0, 1, 8, 50, -1])
def test_a_truncated_file_is_named(tmp_path, length):
    path = tmp_path / "file.safetensors"
    write_arrays(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError, match="file.safetensors' is damaged"):
        read_arrays(path)


class Evil:
    def __reduce__(self):
        return pytest.fail, ("code from a file was executed",)


HOSTILE = {
    "a pickle": pickle.dumps(Evil()),
    "an endless header": (2**62).to_bytes(8, "little") + b"{}",
    "more numbers than the file has": (70).to_bytes(8, "little")
    + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,399999999996]}}'.ljust(70),
    "overlapping arrays": (124).to_bytes(8, "little")
    + b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'.ljust(62)
    + b'"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'.ljust(62)
    + b"1234",
    "bfloat16 of another size": (70).to_bytes(8, "little")
    + b'{"bfloat16:a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'.ljust(70)
    + b"1234",
    "a header nested too deeply": (10_000).to_bytes(8, "little") + b"[" * 10_000,
    "an element count that overflows": (80).to_bytes(8, "little")
    + b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'.ljust(80),
    "a negative shape": (70).to_bytes(8, "little")
    + b'{"a":{"dtype":"U8","shape":[-1,-4],"data_offsets":[0,4]}}'.ljust(70)
    + b"1234",
    "a third truth value": (60).to_bytes(8, "little")
    + b'{"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}'.ljust(60)
    + b"\2\0\1\1",
}


@pytest.mark.parametrize("contents", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(tmp_path, contents):
    (tmp_path / "file").write_bytes(contents)
    with pytest.raises(DamagedFileError, match="file' is damaged"):
        read_arrays(tmp_path / "file")
    with pytest.raises(DamagedFileError, match="file' is damaged"):
        read_slices(tmp_path / "file", (slice(0, 1),))


def test_trees_come_back_and_say_what_does_not_fit():
    tree = {"a": (np.zeros(3, np.float32), np.ones((), np.int32)), "b": np.ones(2, bool)}
    arrays = copied(tree)
    back = as_tree(tree, arrays, "here")
    np.testing.assert_array_equal(back["b"], tree["b"])
    assert back["a"][0] is not tree["a"][0]
    for change, message in [
        ({"['b']": np.ones(2, np.uint8)}, r"In here, \['b'\] is uint8 \(2,\), expected bool \(2,\)"),
        ({"['b']": np.ones(3, bool)}, r"In here, \['b'\] is bool \(3,\), expected bool \(2,\)"),
        ({"['c']": np.ones(3, bool)}, r"here has \"\['c'\]\", which should not be there"),
    ]:
        with pytest.raises(DamagedFileError, match=message):
            as_tree(tree, arrays | change, "here")
    del arrays["['a'][0]"]
    with pytest.raises(DamagedFileError, match=r"here lacks \['a'\]\[0\]\."):
        as_tree(tree, arrays, "here")


def test_slices_equal_those_of_the_whole(tmp_path):
    arrays = {
        "flags": np.arange(24).reshape(2, 4, 3) % 2 == 0,
        "halves": np.asarray(jnp.linspace(-1, 1, 16, dtype=jnp.bfloat16).reshape(2, 8)),
    }
    write_arrays(tmp_path / "a.safetensors", arrays)
    found = read_slices(tmp_path / "a.safetensors", (1, slice(1, 3)))
    for name, x in arrays.items():
        assert found[name].dtype == x.dtype
        np.testing.assert_array_equal(found[name], x[1, 1:3])


def test_slices_that_are_not_there_are_damage(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(DamagedFileError, match="can't be read|is damaged"):
        read_slices(path, (0, slice(0, 1)))
    write_arrays(path, {"x": np.zeros((2, 3))})
    for index in ((2, slice(0, 1)), (0, slice(0, 4))):
        with pytest.raises(DamagedFileError, match="can't be read|is damaged"):
            read_slices(path, index)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedFileError, match="can't be read|is damaged"):
        read_slices(path, (0, slice(0, 1)))


def test_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_arrays(tmp_path / "a.safetensors", ARRAYS)
        write_text(tmp_path / "a.json", "{}")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_the_format_is_that_of_the_library(tmp_path):
    """Files written here load there, and files written there load here."""
    write_arrays(tmp_path / "ours", ARRAYS)
    theirs = safetensors.numpy.load_file(tmp_path / "ours")
    np.testing.assert_array_equal(theirs["['a'].weight"], ARRAYS["['a'].weight"])
    assert theirs["bfloat16:half"].dtype == np.uint16
    safetensors.numpy.save_file({"x": ARRAYS["wide"], "y": ARRAYS["bytes"]}, tmp_path / "theirs", {"who": "wrote it"})
    back = read_arrays(tmp_path / "theirs")
    np.testing.assert_array_equal(back["x"], ARRAYS["wide"])
    np.testing.assert_array_equal(back["y"], ARRAYS["bytes"])
