"""Feature ids: known ones, and MurmurHash3 against mmh3."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform.feature_id import feature_id

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        # constants of Navi's source (navi/segdense) and of Twitter's recap model
        ("user.timelines.twhin_user_follow_embeddings.twhin_user_follow_embeddings", -2550691008059411095),
        ("recap.engagement.is_favorited", 5572643959053003859),
        ("user.twhin.tw_hi_n.user_follow_as_float_tensor", 2312715098992512212),
    ],
)
def test_known_ids(name, known):
    assert feature_id(name) == known


@settings(deadline=None)
@given(NAMES)
def test_murmur_is_that_of_mmh3(name):
    mmh3 = pytest.importorskip("mmh3", reason="the reference of MurmurHash3")
    plain = name.replace("#", "")
    assert feature_id(plain) == mmh3.hash64(plain.encode("utf-16-le"), 0, signed=True)[0]


@settings(deadline=None)
@given(NAMES.filter(bool), NAMES)
def test_a_hash_sign_parts_a_name(before, after):
    mmh3 = pytest.importorskip("mmh3", reason="the reference of MurmurHash3")
    before = before.replace("#", "x")
    start = mmh3.hash64(before.encode("utf-16-le"), 0, signed=True)[0]
    again = struct.pack("<q", start) + after.encode("utf-16-le")
    assert feature_id(f"{before}#{after}") == mmh3.hash64(again, 0, signed=True)[0]


def test_a_hash_sign_at_the_start_is_a_character():
    mmh3 = pytest.importorskip("mmh3", reason="the reference of MurmurHash3")
    assert feature_id("#a") == mmh3.hash64("#a".encode("utf-16-le"), 0, signed=True)[0]
    # the first one counts, also where another one follows
    assert feature_id("#a#b") == mmh3.hash64("#a#b".encode("utf-16-le"), 0, signed=True)[0]
