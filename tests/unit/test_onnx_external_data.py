"""External data of ONNX files: what is read of a tensor, and what stays inside the model's directory."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.onnx_external_data import (
    ExternalDataError,
    ExternalTensor,
    check_external_data,
    read_onnx_tensor,
)
from navi_core.protobuf_wire import FileFormatError
from navi_core.testing.external_data import GOOD_LOCATIONS, REFUSED_LOCATIONS, make_model_directory


@pytest.fixture
def folder(tmp_path):
    return make_model_directory(tmp_path, bytes(12))


def check(folder, location="w.bin", *, offset="", length="", **options):
    return check_external_data([ExternalTensor("w", location, offset, length)], folder, **options)


@pytest.mark.parametrize("location", GOOD_LOCATIONS)
def test_check__takes_files_inside(folder, location):
    found = check(folder, location, offset="4", length="8")
    assert found == {location: (folder / location).resolve()}


@pytest.mark.parametrize("location", REFUSED_LOCATIONS, ids=lambda location: repr(location[:30]))
def test_check__refuses_what_lies_outside_or_is_no_file(folder, location):
    with pytest.raises(ExternalDataError, match=REFUSED_LOCATIONS[location]) as caught:
        check(folder, location)
    assert "tensor 'w'" in str(caught.value)
    assert str(folder) not in str(caught.value)


def test_check__refuses_a_location_that_is_missing(folder):
    with pytest.raises(ExternalDataError, match="no location is given"):
        check(folder, None)


def test_check__takes_hard_links_when_told_to(folder):
    check(folder, "hard.bin", allow_hard_links=True)


@pytest.mark.parametrize(
    ("offset", "length"),
    [("13", ""), ("0", "13"), ("8", "8"), ("-1", ""), ("x", ""), ("", "1e3"), ("9" * 30, "")],
)
def test_check__refuses_ranges_outside_the_file(folder, offset, length):
    with pytest.raises(ExternalDataError):
        check(folder, offset=offset, length=length)


def test_check__a_directory_that_is_itself_a_link_is_fine(folder, tmp_path):
    (tmp_path / "current").symlink_to(folder)
    check(tmp_path / "current")


def test_check__nothing_external_needs_no_directory():
    check_external_data([], None)
    with pytest.raises(ExternalDataError, match="in memory"):
        check(None)


# --- reading ------------------------------------------------------------------------------------------------


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def entry(key, value):
    return field(13, field(1, key) + field(2, value))


def read(data):
    return read_onnx_tensor(data, slice(0, len(data)))


def test_read__a_tensor_with_its_elements_in_it():
    assert read(field(8, b"w") + field(9, bytes(12)) + b"\x10\x01\x70\x00") == ("w", None)
    assert read(b"") == ("", None)


def test_read__where_the_elements_are():
    entries = entry(b"location", b"w.bin") + entry(b"offset", b"8") + entry(b"length", b"12")
    expected = ExternalTensor("w", "w.bin", "8", "12")
    assert read(field(8, b"w") + entries + b"\x70\x01") == ("w", expected)
    assert read(entries + field(8, b"w")) == ("w", expected), "entries alone say it, too"
    assert read(b"\x70\x01") == ("", ExternalTensor("", None))


@given(st.binary(max_size=60))
def test_read__any_bytes_are_a_tensor_or_refused(data):
    with contextlib.suppress(FileFormatError):
        read(data)
