"""Which answers count as the right one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from navi_core.bench.answers import AnswerCheck, difference
from navi_core.clients.exchanges.json_answers import json_array
from navi_core.errors import DecodeError

Y = {"y": np.array([[0.0, 100.0]], np.float32)}


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ({"y": np.array([[0.0, 100.05]])}, ""),
        ({"other_name": np.array([[0.05, 100.0]])}, ""),  # a thousandth of the largest number
        ({"y": np.array([[0.0, 101.0]])}, "output 'y': expected 100 at [0, 1], got 101"),
        ({"y": np.array([[0.0, np.nan]])}, "output 'y': expected 100 at [0, 1], got nan"),
        ({"y": np.array([0.0, 100.0])}, "output 'y': expected shape [1, 2], got [2]"),
        ({"y": Y["y"], "z": Y["y"]}, "expected outputs y, got y, z"),
        ({}, "expected outputs y, got none"),
    ],
)
def test_difference(got, expected):
    assert difference(Y, got) == expected


def test_difference__not_a_number_and_infinity_are_themselves():
    odd = {"y": np.array([np.nan, np.inf, -np.inf, 1.0])}
    assert difference(odd, {"y": odd["y"].copy()}) == ""
    assert difference(odd, {"y": np.array([np.nan, -np.inf, -np.inf, 1.0])}) != ""


def test_difference__strings_and_integers():
    names = {"name": np.array([b"a", b"b"], dtype=object)}
    assert difference(names, {"name": np.array(["a", "b"], dtype=object)}) == ""
    assert (
        difference(names, {"name": np.array([b"a", b"c"], dtype=object)})
        == "output 'name': expected other values"
    )
    assert difference({"n": np.array([1, 2])}, {"n": np.array([1, 3])}) != ""


def test_check__reads_an_answer_once():
    calls = []

    def read(body):
        calls.append(body)
        return {"y": json_array(json.loads(body))}

    check = AnswerCheck(read, b"[1.0, 2.0]")
    for _ in range(3):
        assert check(b"[1.0, 2.0]") == ""
        assert check(b"[1.0, 2.0000001]") == ""
    assert calls == [b"[1.0, 2.0]", b"[1.0, 2.0000001]"]
    assert check(b"[1.0, 3.0]") == "output 'y': expected 2 at [1], got 3"
    assert check(b"[1.0, 3.0]") != ""


def test_check__an_answer_that_cannot_be_read_is_wrong():
    def read(body):
        if body == b"broken":
            raise DecodeError("expected an answer")
        return Y

    assert AnswerCheck(read, b"good")(b"broken") == "expected an answer"
