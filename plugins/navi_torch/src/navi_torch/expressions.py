"""Sizes as torch.export writes them: numbers, symbols and expressions of symbols. Imports no torch.

The archive of an exported program holds expressions as Python source, and torch evaluates that source when it
loads the program. So they are parsed here first, into nothing but arithmetic on known names: what does not parse
is refused before torch sees it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Expression", "ExpressionError", "check_guard", "parse_size"]

_MAX_LENGTH: Final = 10_000
_MAX_INTEGER: Final = 1 << 63
_MAX_EXPONENT: Final = 16
_SYMBOL: Final = re.compile(r"[a-z]+\d+(_\d+)*|_[A-Za-z]\w*|[A-Za-z]\w{0,60}")
_INFINITIES: Final = frozenset({"oo", "int_oo", "inf", "nan", "zoo"})
_FUNCTIONS: Final = frozenset(
    {
        # sympy's
        "Symbol",
        "Integer",
        "Float",
        "Rational",
        "Add",
        "Mul",
        "Pow",
        "Mod",
        "Max",
        "Min",
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "Equality",
        "Unequality",
        "LessThan",
        "GreaterThan",
        "StrictLessThan",
        "StrictGreaterThan",
        "And",
        "Or",
        "Not",
        "Piecewise",
        "ExprCondPair",
        "Tuple",
        "floor",
        "ceiling",
        "Abs",
        "NegativeInfinity",
        "Infinity",
        "true",
        "false",
        # torch's own
        "FloorDiv",
        "ModularIndexing",
        "Where",
        "PythonMod",
        "CleanDiv",
        "CeilToInt",
        "FloorToInt",
        "CeilDiv",
        "LShift",
        "RShift",
        "PowByNatural",
        "FloatPow",
        "FloatTrueDiv",
        "IntTrueDiv",
        "IsNonOverlappingAndDenseIndicator",
        "TruncToFloat",
        "TruncToInt",
        "RoundToInt",
        "RoundDecimal",
        "ToFloat",
        "Identity",
        "BitwiseFn_bitwise_and",
        "BitwiseFn_bitwise_or",
        "BitwiseFn_bitwise_xor",
    }
)
_GUARD_CALLS: Final = frozenset({"size", "stride", "storage_offset", "isnan"})
_SAFE_TEXT: Final = re.compile(r"[\w.]{0,200}")


class ExpressionError(ValueError):
    """The text is no expression that torch.export writes; one line."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A size that depends on symbols.

    Parameters
    ----------
    text
        For people: ``2*s77``.
    evaluate
        Returns the size for values of the symbols; None where one is missing or an operation is not known.
    """

    text: str
    evaluate: Callable[[Mapping[str, int]], int | None]


def parse_size(text: str) -> int | str | Expression:
    """Return a size: a number, a symbol's name, or an expression.

    Raises
    ------
    ExpressionError
        It is something else.
    """
    tree = _parse(text)
    _check(tree)
    tree = _plain(tree)
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return int(tree.value)
    if isinstance(tree, ast.Name):
        return tree.id
    return Expression(ast.unparse(tree).replace(" ", ""), lambda values: _evaluate(tree, values))


def check_guard(text: str) -> None:
    """Refuse a guard that is more than a comparison of the inputs' sizes and values.

    Raises
    ------
    ExpressionError
        It calls or names anything else.
    """
    tree = _parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            is_known = node.id in ("L", "math", "inf") or node.id in _FUNCTIONS
        elif isinstance(node, ast.Attribute):
            is_known = node.attr in _GUARD_CALLS
        elif isinstance(node, ast.Call):
            is_known = not node.keywords and isinstance(node.func, ast.Name | ast.Attribute)
        elif isinstance(node, ast.Constant):
            is_known = isinstance(node.value, bool | int | float) or (
                isinstance(node.value, str) and bool(_SAFE_TEXT.fullmatch(node.value))
            )
        else:
            is_known = isinstance(node, _ARITHMETIC | ast.Subscript | ast.IfExp)
        if not is_known:
            msg = f"guard '{text[:80]}' is none that torch.export writes"
            raise ExpressionError(msg)


_ARITHMETIC: Final = (
    ast.Expression
    | ast.BinOp
    | ast.UnaryOp
    | ast.BoolOp
    | ast.Compare
    | ast.operator
    | ast.unaryop
    | ast.boolop
    | ast.cmpop
    | ast.Load
)


def _parse(text: str) -> ast.expr:
    if len(text) > _MAX_LENGTH:
        msg = f"an expression of {len(text)} characters: expected at most {_MAX_LENGTH}"
        raise ExpressionError(msg)
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        msg = f"expression '{text[:80]}' is none that torch.export writes"
        raise ExpressionError(msg) from error


def _check(tree: ast.expr) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            names = [word.arg for word in node.keywords]
            plain = all(isinstance(word.value, ast.Constant) for word in node.keywords)
            is_known = (
                isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and plain and None not in names
            )
        elif isinstance(node, ast.Name):
            is_known = bool(_SYMBOL.fullmatch(node.id))
        elif isinstance(node, ast.Constant):
            is_known = _is_known_constant(node.value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            is_known = _is_small(node.right)
        else:
            is_known = isinstance(node, _ARITHMETIC | ast.keyword | ast.Tuple)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Pow", "PowByNatural", "LShift"):
            is_known = is_known and len(node.args) == 2 and _is_small(node.args[1])
        if not is_known:
            msg = f"expression '{ast.unparse(tree)[:80]}' is none that torch.export writes"
            raise ExpressionError(msg)


def _is_known_constant(value: object) -> bool:
    if isinstance(value, str):
        return bool(_SYMBOL.fullmatch(value)) or bool(re.fullmatch(r"-?[\d.e+-]{1,40}", value))
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _MAX_INTEGER)


def _is_small(node: ast.expr) -> bool:
    node = _plain(node)
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value <= _MAX_EXPONENT
    )


_OPERATORS: Final[Mapping[str, ast.operator]] = {
    "Add": ast.Add(),
    "Mul": ast.Mult(),
    "Pow": ast.Pow(),
    "Mod": ast.Mod(),
    "PythonMod": ast.Mod(),
    "FloorDiv": ast.FloorDiv(),
    "CleanDiv": ast.FloorDiv(),
}


def _plain(node: ast.expr) -> ast.expr:
    """Return ``Mul(Integer(2), Symbol('s77', integer=True))`` as ``2*s77``: constructors as what they make."""
    if isinstance(node, ast.BinOp):
        return ast.BinOp(_plain(node.left), node.op, _plain(node.right))
    if isinstance(node, ast.UnaryOp):
        return ast.UnaryOp(node.op, _plain(node.operand))
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return node
    name, args = node.func.id, node.args
    if name == "Symbol" and args and isinstance(args[0], ast.Constant):
        return ast.Name(str(args[0].value), ast.Load())
    if name == "Integer" and len(args) == 1:
        return _plain(args[0])
    operator = _OPERATORS.get(name)
    if operator is None or len(args) < 2 or (len(args) > 2 and name not in ("Add", "Mul")):
        return ast.Call(node.func, [_plain(arg) for arg in args], [])
    joined = _plain(args[0])
    for arg in args[1:]:
        joined = ast.BinOp(joined, operator, _plain(arg))
    return joined


def _evaluate(node: ast.expr, values: Mapping[str, int]) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return int(node.value)
    if isinstance(node, ast.Name):
        return values.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _evaluate(node.operand, values)
        return None if operand is None else -operand
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, values), _evaluate(node.right, values)
        return None if left is None or right is None else _apply(node.op, left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Max", "Min"):
        found = [value for arg in node.args if (value := _evaluate(arg, values)) is not None]
        if found and len(found) == len(node.args):
            return max(found) if node.func.id == "Max" else min(found)
    return None


def _apply(operator: ast.operator, left: int, right: int) -> int | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.FloorDiv) and right:
        return left // right
    if isinstance(operator, ast.Mod) and right:
        return left % right
    if isinstance(operator, ast.Pow) and 0 <= right <= _MAX_EXPONENT:
        return int(left**right)
    return None
