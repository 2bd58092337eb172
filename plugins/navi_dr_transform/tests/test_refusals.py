"""What is said of a payload that is refused: what was expected, what came, and where."""

from __future__ import annotations

import pytest
from navi_dr_transform import wire
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.layout import HOME
from navi_dr_transform.refusals import refusal_text

from navi_core import DecodeError


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\x0c\x00\x01", "expected the wire type that the field's definition asks for, got another: struct"),
        (b"\x0f\x00\x01\x0b\x00\x00\x00\x01", "got another: string (at payload 0, offset 3)"),
        (b"\x0f\x00\x01\x0c\xff\xff\xff\xfe", "got a negative one: -2 (at payload 0, offset 4)"),
        (b"\x0f\x00\x01\x0c\x00\x00\x01\x00", "got a larger count: 256 (at payload 0, offset 4)"),
        (b"\x10\x00\x01", "the field's definition asks for, got another: type 16 (at payload 0, offset 0)"),
    ],
)
def test_a_refusal_says_what_stands_there(features, widths, payload, text):
    with pytest.raises(DecodeError, match="BatchPredictionRequest") as caught:
        Decoder(HOME, features, widths, exact_embeddings=False).measure([payload])
    assert text in str(caught.value)


@pytest.mark.parametrize("status", wire.STATUS_TEXTS)
def test_every_status_has_words_wherever_it_stands(status):
    for offset in (0, 3, 4, 100):
        assert refusal_text(status, b"\x01\x02\x03\x04", offset).startswith(wire.STATUS_TEXTS[status])
