"""External data of ONNX files: what is read of a tensor, and what stays inside the model's directory."""

from __future__ import annotations

import contextlib
import os

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


@pytest.fixture
def folder(tmp_path):
    """A model's directory with every kind of file in it, and secrets beside it."""
    inside = tmp_path / "models" / "1"
    (inside / "sub").mkdir(parents=True)
    secret = tmp_path / "models" / "secret.bin"
    for path in (secret, inside / "w.bin", inside / "sub" / "w.bin"):
        path.write_bytes(bytes(12))
    (inside / "linked.bin").symlink_to("w.bin")
    (inside / "leak.bin").symlink_to(secret)
    (inside / "up").symlink_to("..")
    (inside / "loop.bin").symlink_to("loop.bin")
    (inside / "broken.bin").symlink_to("nowhere.bin")
    os.link(secret, inside / "hard.bin")
    os.mkfifo(inside / "pipe.bin")
    return inside


def check(folder, location="w.bin", *, offset="", length="", **options):
    return check_external_data([ExternalTensor("w", location, offset, length)], folder, **options)


GOOD = ["w.bin", "./w.bin", "sub/w.bin", "linked.bin"]
BAD = {
    "../secret.bin": "'..' is not allowed",
    "sub/../../secret.bin": "'..' is not allowed",
    "sub/../w.bin": "'..' is not allowed",
    "sub\\..\\..\\secret.bin": "'..' is not allowed",
    "/etc/passwd": "expected a path relative",
    "C:\\secret.bin": "expected a path relative",
    "\\\\host\\share\\secret.bin": "expected a path relative",
    "w.bin\0": "expected a path relative",
    "leak.bin": "a link leads out",
    "up/secret.bin": "a link leads out",
    "hard.bin": "2 names",
    "broken.bin": "no such file",
    "missing.bin": "no such file",
    "loop.bin": "links",
    "sub": "expected a regular file",
    "pipe.bin": "expected a regular file",
    ".": "expected a regular file",
    "": "no location is given",
    "w.bin/x": "not a directory",
    "a" * 5000: "name too long",
}


@pytest.mark.parametrize("location", GOOD)
def test_check__takes_files_inside(folder, location):
    found = check(folder, location, offset="4", length="8")
    assert found == {location: (folder / location).resolve()}


@pytest.mark.parametrize("location", BAD, ids=lambda location: repr(location[:30]))
def test_check__refuses_what_lies_outside_or_is_no_file(folder, location):
    with pytest.raises(ExternalDataError, match=BAD[location]) as caught:
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
