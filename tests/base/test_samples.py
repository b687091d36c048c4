"""The types of sample, and code values from one to another."""

from __future__ import annotations

import numpy as np
import pytest

from mive.base.samples import (
    BY_NAME,
    HOSTED,
    IN_MEMORY,
    SAMPLES,
    integer_for,
    listed,
    rescaled,
    sample_of,
    stored_as,
    white,
)
from mive.wire.words import PIXEL_FORMAT, number_of

BYTE, WORD = BY_NAME["u8"].dtype, BY_NAME["u16"].dtype


def test_each_is_a_value_of_the_contract_and_has_a_type_in_memory() -> None:
    for sample in SAMPLES:
        assert number_of(PIXEL_FORMAT, sample.name) > 0
        assert sample_of(sample.dtype) is sample
        assert np.can_cast(sample.dtype, IN_MEMORY[sample.depth].dtype, "safe")
        assert not IN_MEMORY[sample.coded].is_float


def test_those_in_memory_are_those_of_hosts() -> None:
    assert {sample.name for sample in IN_MEMORY.values()} == {sample.name for sample in HOSTED.values()}


def test_eight_bits_to_sixteen_and_back_is_exact() -> None:
    codes = np.arange(256, dtype=BYTE)
    wide = rescaled(codes, WORD)
    assert (wide.dtype, wide[1], wide[-1]) == (WORD, 257, 65535)
    assert (rescaled(wide, BYTE) == codes).all()


def test_sixteen_bits_to_eight_rounds_to_nearest() -> None:
    codes = np.arange(65536, dtype=WORD)
    assert (rescaled(codes, BYTE) == np.floor(codes / 257 + 0.5)).all()


@pytest.mark.parametrize(("bits", "name"), [(1, "u8"), (8, "u8"), (10, "u16"), (16, "u16"), (32, "u16")])
def test_the_smallest_type_that_holds_so_many_bits(bits: int, name: str) -> None:
    assert integer_for(bits).name == name


def test_half_is_float_in_memory_and_half_in_files() -> None:
    assert (stored_as("f32", 16).image, stored_as("f32", 32).image, stored_as("u16", 10).image) == (
        "half",
        "float",
        "uint16",
    )


def test_white() -> None:
    assert [white(sample.dtype) for sample in SAMPLES] == [255, 65535, 1, 1]


def test_in_messages() -> None:
    assert listed(SAMPLES) == "U8, U16, HALF or FLOAT"
