"""Sizes and guards as torch.export writes them, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navi_torch.expressions import Expression, ExpressionError, check_guard, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16", 16),
        ("Integer(16)", 16),
        ("s77", "s77"),
        ("Symbol('s77', positive=True, integer=True)", "s77"),
    ],
)
def test_parse_size__numbers_and_symbols(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "shown", "value"),
    [
        ("2*s77", "2*s77", 10),
        ("Mul(Integer(2), Symbol('s77', positive=True, integer=True))", "2*s77", 10),
        ("Add(Symbol('s77'), Integer(-1))", "s77+-1", 4),
        ("FloorDiv(Symbol('s77', integer=True), Integer(2))", "s77//2", 2),
        ("Max(1, Symbol('s77'))", "Max(1,s77)", 5),
        ("s77**2 % 7", "s77**2%7", 4),
        ("CeilToInt(s77)", "CeilToInt(s77)", None),
        ("s77 + s78", "s77+s78", None),
    ],
)
def test_parse_size__expressions(text, shown, value):
    got = parse_size(text)
    assert isinstance(got, Expression)
    assert got.text == shown
    assert got.evaluate({"s77": 5}) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "__import__('os')",
        "().__class__",
        "open('x')",
        "[s1 for s1 in (1,)]",
        "lambda: 1",
        "Symbol('s1', positive=open('x'))",
        "Symbol('a b')",
        "s1 if s1 else 2",
        "Symbol('s1').func",
        "f'{s1}'",
        "10**100",
        "Pow(10, Pow(10, 10))",
        "9" * 30,
        "s1" + "+1" * 6000,
        "(" * 5000,
    ],
    ids=lambda text: text[:25],
)
def test_parse_size__refuses_everything_else(text):
    with pytest.raises(ExpressionError) as caught:
        parse_size(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "(L['x'].size()[0] % 2) == 0",
        "L['x'].size()[0] == L['y'].size()[1]",
        "L['args'][0]['k'].stride()[0] <= 5",
        "not (L['n'] > 4)",
        "math.isnan(L['x'])",
    ],
)
def test_guards__of_sizes_and_values_pass(text):
    check_guard(text)


@pytest.mark.parametrize(
    "text",
    [
        "open('x')",
        "L['x'].__class__",
        "L['x'].size.__globals__",
        "math.__loader__",
        "L['x'].size(key=1)",
        "(lambda: 1)()",
        "L['\");evil();(\"'] == 1",
        "[x for x in L]",
        "L['x'] := 1",
        "evil",
    ],
)
def test_guards__of_anything_else_are_refused(text):
    with pytest.raises(ExpressionError):
        check_guard(text)


@given(st.text(alphabet="s0123456789+-*/%() ,.'_[]Symbol", max_size=60))
def test_parse_size__never_raises_anything_else(text):
    with suppress(ExpressionError):
        got = parse_size(text)
        if isinstance(got, Expression):
            got.evaluate({"s0": 3})
