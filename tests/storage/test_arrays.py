"""Arrays in files: the same back, or a sentence about what is wrong with the file."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest
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
    assert [path.name for path in tmp_path.iterdir()] == ["file.safetensors"]  # nothing is left beside it


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(tmp_path, position, bit):
    path = tmp_path / "file.safetensors"
    checksum = write_arrays(path, ARRAYS)
    contents = bytearray(path.read_bytes())
    contents[int(position * len(contents))] ^= 1 << bit
    path.write_bytes(contents)
    try:
        back = read_arrays(path, checksum)
    except DamagedFileError:
        return
    for name, x in ARRAYS.items():  # a bit of the header that means nothing, such as the white space behind it
        np.testing.assert_array_equal(back[name], x)


@pytest.mark.parametrize("length", [0, 1, 8, 50, -1])
def test_a_file_that_was_cut_short_is_named(tmp_path, length):
    path = tmp_path / "file.safetensors"
    write_arrays(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError, match="file.safetensors can't be read"):
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
    "bfloat16 that is none": (70).to_bytes(8, "little")
    + b'{"bfloat16:a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'.ljust(70)
    + b"1234",
}


@pytest.mark.parametrize("contents", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(tmp_path, contents):
    (tmp_path / "file").write_bytes(contents)
    with pytest.raises(DamagedFileError, match="can't be read"):
        read_arrays(tmp_path / "file")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_trees_come_back_and_say_what_does_not_fit():
    tree = {"a": (np.zeros(3, np.float32), np.ones((), np.int32)), "b": np.ones(2, bool)}
    arrays = copied(tree)
    back = as_tree(tree, arrays, "here")
    np.testing.assert_array_equal(back["b"], tree["b"])
    assert back["a"][0] is not tree["a"][0]
    for change, message in [
        ({"['b']": np.ones(2, np.uint8)}, r"In here, \['b'\] is uint8 \(2,\), not bool \(2,\)"),
        ({"['b']": np.ones(3, bool)}, r"In here, \['b'\] is bool \(3,\), not bool \(2,\)"),
        ({"['c']": np.ones(3, bool)}, r"here has \['c'\] and 0 more arrays that don't belong there"),
    ]:
        with pytest.raises(DamagedFileError, match=message):
            as_tree(tree, arrays | change, "here")
    del arrays["['a'][0]"]
    with pytest.raises(DamagedFileError, match=r"here lacks \['a'\]\[0\] and 0 more"):
        as_tree(tree, arrays, "here")


def test_slices_are_what_the_whole_has_there(tmp_path):
    arrays = {
        "flags": np.arange(24).reshape(2, 4, 3) % 2 == 0,
        "halves": np.asarray(jnp.linspace(-1, 1, 16, dtype=jnp.bfloat16).reshape(2, 8)),
    }
    write_arrays(tmp_path / "a.safetensors", arrays)
    found = read_slices(tmp_path / "a.safetensors", (1, slice(1, 3)))
    for name, x in arrays.items():
        assert found[name].dtype == x.dtype
        np.testing.assert_array_equal(found[name], x[1, 1:3])


def test_slices_of_what_is_not_there_are_damage(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(DamagedFileError, match="can't be read"):
        read_slices(path, (0, slice(0, 1)))
    write_arrays(path, {"x": np.zeros((2, 3))})
    for index in ((2, slice(0, 1)), (0, slice(0, 4))):
        with pytest.raises(DamagedFileError, match="can't be read"):
            read_slices(path, index)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedFileError, match="can't be read"):
        read_slices(path, (0, slice(0, 1)))
