"""Evaluates the arithmetic of a spreadsheet whose stored results were lost.

Some releases keep frame numbers as formulas (`=D2+M2-1`, `=SUM(F15-D15)+1`, `=D2-100*(VIS!D2-VIS!I2)/25`). A program
that saves such a file again may drop the results that Excel had stored in it. Only this arithmetic is known: numbers,
`+ - * /`, parentheses, cells, cells of other sheets, SUM of one argument. Nothing is executed.
"""

import ast
import operator
import re
from collections.abc import Callable

_CELL = re.compile(r"(?:'([^']+)'!|(\w+)!)?\$?([A-Z]{1,3})\$?(\d+)(?![\w(])")
_ARITHMETIC = re.compile(r"(SUM(?=\()|_\d++_|\d++(\.\d*+)?|\.\d++|[-+*/()\s])*")
_MAX_LENGTH = 200  # of a formula; those of the releases have up to 40 characters
_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.UAdd: operator.pos, ast.USub: operator.neg,
}  # fmt: skip


class FormulaError(ValueError):
    """A formula that is not of the known arithmetic, or refers to no number."""


def evaluate(formula: str, read: Callable[[str | None, str, int], float]) -> float:
    """Evaluates a formula.

    Args:
        formula: With its equals sign.
        read: Returns the number in a cell from the name of the sheet (None: the formula's own), column letters and row.

    Raises:
        FormulaError: It is no such formula, or it divides by zero.

    Example:
        >>> evaluate("=SUM(F15-D15)+1", lambda sheet, column, row: {"F": 86, "D": 46}[column])
        41.0
    """
    cells: dict[str, tuple[str | None, str, int]] = {}

    def name_cell(match: re.Match) -> str:
        name = f"_{len(cells)}_"
        cells[name] = (match[1] or match[2], match[3], int(match[4]))
        return name

    def value_of(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as value):
                return float(value)
            case ast.Name(id=name) if name in cells:
                return float(read(*cells[name]))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](value_of(left), value_of(right))
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](value_of(operand))
            case ast.Call(func=ast.Name(id="SUM"), args=[argument]):
                return value_of(argument)
        raise FormulaError(f"{formula!r} is not simple arithmetic")

    text = _CELL.sub(name_cell, formula.removeprefix("=")) if len(formula) <= _MAX_LENGTH else "too long"
    is_known = formula.startswith("=") and "_" not in _CELL.sub("", formula) and _ARITHMETIC.fullmatch(text)
    try:
        return value_of(ast.parse(text.strip() if is_known else "", mode="eval").body)
    except (SyntaxError, MemoryError) as error:
        raise FormulaError(f"{formula[:40]!r} is not simple arithmetic") from error
    except ZeroDivisionError as error:
        raise FormulaError(f"{formula!r} divides by zero") from error
