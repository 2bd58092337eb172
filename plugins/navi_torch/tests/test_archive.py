"""The archive's directory: what it says is checked before anything is read."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navi_torch.archive import ArchiveError, classify, extract_member, read_listing, read_member
from navi_torch.testing import Mlp, scripted

MODEL = scripted(Mlp())


def archive(members, compression=zipfile.ZIP_STORED) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as target:
        for name, content in members:
            target.writestr(name, content)
    buffer.seek(0)
    return buffer


def test_listing__names_are_without_the_root():
    listing = read_listing(io.BytesIO(MODEL))
    assert listing.kind == "torchscript"
    assert "data.pkl" in listing.sizes
    assert read_member(io.BytesIO(MODEL), listing, "version", 100).strip().isdigit()


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ([("m/constants.pkl", b""), ("m/code/a.py", b"")], "torchscript"),
        ([("m/constants.pkl", b""), ("m/data.pkl", b"")], "pickle"),
        ([("m/archive_format", b"pt2"), ("m/models/model.json", b"{}")], "torch_export"),
        ([("m/archive_format", b"pt2"), ("m/data/aotinductor/model/x.so", b"")], "aotinductor"),
        ([("m/archive_format", b"pt2")], "unknown"),
        ([("m/readme.txt", b"")], "unknown"),
    ],
)
def test_listing__kinds(members, kind):
    assert read_listing(archive(members)).kind == kind


@pytest.mark.parametrize("name", ["m/../../etc/x", "m/a/../../../x", "/etc/x", "m\\..\\..\\x", "C:/x", ".."])
def test_listing__names_that_lead_out_are_refused(name):
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        read_listing(archive([("m/data.pkl", b""), (name, b"")]))


def test_listing__names_twice_are_refused():
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive([("m/data.pkl", b"1"), ("m/data.pkl", b"2")])
    with pytest.raises(ArchiveError, match=r"'data\.pkl' is there twice"):
        read_listing(twice)


def test_listing__stored_members_that_claim_more_than_they_hold_are_refused():
    content = bytearray(archive([("m/data.pkl", b"x" * 10)]).getvalue())
    at = content.rfind(b"PK\1\2")
    struct.pack_into("<L", content, at + 24, 1 << 30)
    with pytest.raises(ArchiveError, match="claims another size"):
        read_listing(io.BytesIO(content))


def test_listing__members_beyond_the_end_are_refused():
    content = bytearray(archive([("m/data.pkl", b"x" * 10)]).getvalue())
    at = content.rfind(b"PK\1\2")
    struct.pack_into("<LL", content, at + 20, 1 << 30, 1 << 30)
    with pytest.raises(ArchiveError, match="beyond the end"):
        read_listing(io.BytesIO(content))


def test_listing__bombs_are_refused():
    bomb = archive([("m/code/a.py", bytes(300 << 20)), ("m/constants.pkl", b"")], zipfile.ZIP_DEFLATED)
    assert len(bomb.getvalue()) < 1 << 20
    with pytest.raises(ArchiveError, match="compressed members claim"):
        read_listing(bomb)


def test_listing__a_directory_larger_than_the_file_is_refused():
    content = bytearray(MODEL)
    at = content.rfind(b"PK\5\6")
    struct.pack_into("<L", content, at + 12, 0xFFFFFF00)
    locator = content.rfind(b"PK\6\7")
    if locator >= 0:
        content[locator : locator + 4] = b"none"
    with pytest.raises(ArchiveError, match="zip directory claims"):
        read_listing(io.BytesIO(content))


def test_member__more_than_is_expected_is_not_read():
    stream = archive([("m/data.pkl", b"x" * 10)])
    listing = read_listing(stream)
    with pytest.raises(ArchiveError, match="has 10 bytes: expected at most 9"):
        read_member(stream, listing, "data.pkl", 9)


def test_member__damage_is_noticed(tmp_path):
    content = bytearray(archive([("m/data.pkl", b"x" * 10)]).getvalue())
    at = content.find(b"x" * 10)
    content[at] = ord("y")
    stream = io.BytesIO(content)
    listing = read_listing(stream)
    with pytest.raises(ArchiveError, match="damaged"):
        read_member(stream, listing, "data.pkl", 100)
    with pytest.raises(ArchiveError, match="damaged"):
        extract_member(stream, listing, "data.pkl", tmp_path / "out")


@given(st.integers(0, len(MODEL)))
def test_listing__every_truncation_is_refused_or_read(size):
    with suppress(ArchiveError):
        read_listing(io.BytesIO(MODEL[:size]))
    assert classify(io.BytesIO(MODEL[:size])) in ("torchscript", "unknown", "pickle")


@given(st.integers(0, len(MODEL) - 1), st.integers(1, 255))
def test_listing__every_changed_byte_is_refused_or_read(at, change):
    damaged = bytearray(MODEL)
    damaged[at] ^= change
    with suppress(ArchiveError):
        read_listing(io.BytesIO(damaged))
    classify(io.BytesIO(damaged))


@given(st.binary(max_size=600))
def test_classify__never_raises(content):
    assert classify(io.BytesIO(content)) in ("unknown", "pickle")
