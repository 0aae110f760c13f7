import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lulcmap.model.dynamic_world.bundle import read_tensors
from lulcmap.model.dynamic_world.checksum import masked_crc32c
from lulcmap.model.dynamic_world.network import tensor_shapes
from lulcmap.model.dynamic_world.table import MAX_BLOCK_BYTES, decompress, read_table
from tests.support.bundles import bundle, compress, message, number, table, varint

TENSORS = {
    "a/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a/bias": np.float32([0.5, -1e-30, 3e30]),
    "b": np.float32(7),
}


@given(st.binary(max_size=3000) | st.lists(st.sampled_from([b"abcd", b"xyzw", b"q"])).map(b"".join))
@example(b"abc" * 500)
def test_decompressing_undoes_compressing(data):
    assert decompress(memoryview(compress(data))) == data


def test_a_copy_may_reach_into_itself():
    stored = varint(10) + bytes([1 - 1 << 2]) + b"a" + bytes([1 | 9 - 4 << 2, 1])

    assert decompress(memoryview(stored)) == b"a" * 10


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (varint(5) + bytes([1, 1]), "before its first"),
        (varint(5) + b"\0a" + bytes([1, 0]), "before its first"),
        (varint(5) + b"\0a" + bytes([1, 9]), "before its first"),
        (varint(9) + b"\0a", "cut off"),
        (varint(2) + b"\x10abcde", "too long"),
        (varint(99) + b"\xf0", "cut off"),
        (varint(MAX_BLOCK_BYTES + 1), "too large"),
        (b"", "cut off"),
    ],
)
def test_bytes_that_are_no_snappy_are_refused(stored, message):
    with pytest.raises(ValueError, match=message):
        decompress(memoryview(stored))


@given(
    st.dictionaries(st.binary(max_size=20), st.binary(max_size=50), max_size=40),
    st.booleans(),
    st.integers(1, 10),
)
def test_a_table_is_read_as_it_was_written(entries, compressed, per_block):
    data = table(entries, compressed=compressed, per_block=per_block)

    assert {key: bytes(value) for key, value in read_table(memoryview(data)).items()} == entries


def test_a_block_whose_checksum_is_wrong_is_refused():
    data = table({b"key": b"value"}, compressed=False)

    with pytest.raises(ValueError, match="the checksum of a block is wrong"):
        read_table(memoryview(data.replace(b"value", b"valve")))


@pytest.mark.parametrize("compressed", [True, False])
def test_tensors_are_read_as_they_were_written(compressed):
    index, data = bundle(TENSORS, compressed=compressed)

    found = read_tensors(index, data, TENSORS)

    for name, values in TENSORS.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], values, strict=True)


@settings(max_examples=500)
@given(st.data())
def test_a_changed_byte_is_refused_or_changes_no_weight(data):
    index, values = bundle(TENSORS)
    at = data.draw(st.integers(0, len(index) + len(values) - 1))
    changed = bytearray(index + values)
    changed[at] ^= data.draw(st.integers(1, 255))

    try:
        found = read_tensors(bytes(changed[: len(index)]), bytes(changed[len(index) :]), TENSORS)
    except ValueError:
        return
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused_by_a_value_error(data, with_footer):
    if with_footer:  # a table whose blocks are anything
        data += bytes(40) + struct.pack("<Q", 0xDB4775248B80FB57)
    with pytest.raises(ValueError, match=r"."):
        read_tensors(data, b"", ["a"])


@given(st.binary(max_size=200))
def test_any_block_with_a_good_checksum_ends_in_entries_or_a_value_error(content):
    stored = content + bytes([1])
    handle = varint(0) + varint(len(content))
    index = varint(0) + varint(1) + varint(len(handle)) + b"k" + handle + struct.pack("<II", 0, 1)
    first = stored + struct.pack("<I", masked_crc32c(stored))
    second = index + b"\0" + struct.pack("<I", masked_crc32c(index + b"\0"))
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(index))
    data = first + second + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)

    try:
        read_table(memoryview(data))
    except ValueError:
        return


@pytest.mark.parametrize("size", [0, 47, 100, -1])
def test_an_index_that_is_cut_off_is_refused(size):
    index, data = bundle(TENSORS)

    with pytest.raises(ValueError, match=r"cut off|outside"):
        read_tensors(index[:size], data, TENSORS)


def test_data_that_is_cut_off_is_refused():
    index, data = bundle(TENSORS)

    with pytest.raises(ValueError, match="the tensor b lies outside of the data"):
        read_tensors(index, data[:-1], TENSORS)


def test_a_tensor_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="it lacks the tensor c"):
        read_tensors(*bundle(TENSORS), ["a/bias", "c"])


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="the tensor a holds numbers that are not finite"):
        read_tensors(*bundle({"a": np.float32([1, np.nan])}), ["a"])


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (number(1, 2), "no float32"),
        (number(1, 1) + number(3, 1), "no float32 in one piece"),
        (number(1, 1) + message(7, b""), "no float32 in one piece"),
        (number(1, 1) + number(2, 1), "has no shape"),
        (number(1, 1) + message(2, number(3, 1)), "has no shape"),
        (number(1, 1) + message(2, message(2, number(1, 2))) + number(5, 4), "not its shape"),
        (number(1, 1) + message(2, message(2, number(1, 2**63))) + number(5, 4), "not its shape"),
        (number(1, 1) + message(2, message(2, b"") * 9), "9 dimensions"),
        (number(1, 1) + message(4, b"x"), "outside of the data"),
        (number(1, 1) + number(5, 4), "checksum of the tensor a"),
        (b"\xff", "cut off"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(entry, reason):
    index = table({b"": number(1, 1), b"a": entry})

    with pytest.raises(ValueError, match=reason):
        read_tensors(index, bytes(8), ["a"])


@pytest.mark.parametrize("header", [None, number(1, 2), number(1, 1) + number(2, 1)])
def test_a_bundle_of_many_files_or_big_endian_is_refused(header):
    entries = {b"a": b""} if header is None else {b"": header, b"a": b""}

    with pytest.raises(ValueError, match="no bundle of one data file"):
        read_tensors(table(entries), b"", ["a"])


def test_the_released_bundle_is_read(shared_data):
    folder = shared_data / "teacher" / "dynamicworld-forward" / "variables"
    index = (folder / "variables.index").read_bytes()
    data = (folder / "variables.data-00000-of-00001").read_bytes()

    found = read_tensors(index, data, tensor_shapes())

    assert {name: values.shape for name, values in found.items()} == tensor_shapes()
    assert sum(values.size for values in found.values()) == 231_209
