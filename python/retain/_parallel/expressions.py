"""Arithmetic that is given as a text."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 30
_LARGEST = 10**6
_OPERATORS: Final[dict[type, Callable[..., Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}


def eval_expr(expr: str) -> Any:
    """
    Return the value of an arithmetic expression of numbers.

    Parameters
    ----------
    expr : str
        Such as ``"2 * 8"``.

    Raises
    ------
    ValueError
        If it is none, is longer than 30 characters, or comes to more than a million on the way.
    """
    if len(expr) > _LONGEST:
        raise ValueError(f"Expression {expr[:_LONGEST]!r}... is too long. Max length is {_LONGEST}, got {len(expr)}.")
    try:
        return _value(ast.parse(expr, mode="eval").body)
    except (TypeError, SyntaxError, OverflowError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{expr!r} is not a valid or supported arithmetic expression.") from error


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        found = node.value
    elif isinstance(node, ast.BinOp):
        found = _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    elif isinstance(node, ast.UnaryOp):
        found = _OPERATORS[type(node.op)](_value(node.operand))
    else:
        raise TypeError(node)
    if isinstance(found, complex) or abs(found) > _LARGEST:
        raise ValueError(f"Numeric literal {found} is too large, max is {_LARGEST}.")
    return found
