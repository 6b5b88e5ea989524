"""Works out the arithmetic of a spreadsheet whose stored results were lost.

Some releases keep frame numbers as formulas (`=D2+M2-1`, `=SUM(F15-D15)+1`, `=D2-100*(VIS!D2-VIS!I2)/25`). A program
that saves such a file again may drop the results that Excel had stored in it. Only this arithmetic is known: numbers,
`+ - * /`, parentheses, cells, cells of other sheets, SUM. Nothing is executed.
"""

import re
from collections.abc import Callable

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)"
    r"|(?:'(?P<quoted>[^']+)'!|(?P<sheet>\w+)!)?\$?(?P<column>[A-Z]{1,3})\$?(?P<row>\d+)(?![\w(])"
    r"|(?P<sum>SUM(?=\())"
    r"|(?P<sign>[-+*/()]))"
)
_MAX_LENGTH = 200  # of a formula; those of the releases have up to 40 characters
_MAX_PARENTHESES = 20


class FormulaError(ValueError):
    """A formula that is not of the known arithmetic, or refers to no number."""


def evaluate(formula: str, read: Callable[[str | None, str, int], float]) -> float:
    """Evaluates a formula.

    Args:
        formula: with its equals sign.
        read: gives the number in a cell from the name of the sheet (None: the formula's own), column letters and row.

    Raises:
        FormulaError: it is no such formula, or it divides by zero.

    Example:
        >>> evaluate("=SUM(F15-D15)+1", lambda sheet, column, row: {"F": 86, "D": 46}[column])
        41.0
    """
    if not formula.startswith("=") or len(formula) > _MAX_LENGTH:
        raise FormulaError(f"{formula[:40]!r} is not simple arithmetic")
    tokens, position = [], 1
    while formula[position:].strip():
        match = _TOKEN.match(formula, position)
        if not match:
            raise FormulaError(f"{formula!r} holds {formula[position:][:20]!r}, which is not simple arithmetic")
        tokens.append(match)
        position = match.end()
    parser = _Parser(formula, tokens, read)
    value = parser.sum(0)
    if parser.position < len(tokens):
        raise FormulaError(f"{formula!r} does not end where it should")
    return value


class _Parser:
    def __init__(self, formula: str, tokens: list[re.Match], read: Callable[[str | None, str, int], float]):
        self.formula, self.tokens, self.read = formula, tokens, read
        self.position = 0

    def accept(self, signs: str) -> str | None:
        if self.position < len(self.tokens):
            sign = self.tokens[self.position]["sign"]
            if sign and sign in signs:
                self.position += 1
                return sign
        return None

    def sum(self, depth: int) -> float:
        value = self.product(depth)
        while sign := self.accept("+-"):
            term = self.product(depth)
            value = value + term if sign == "+" else value - term
        return value

    def product(self, depth: int) -> float:
        value = self.atom(depth)
        while sign := self.accept("*/"):
            factor = self.atom(depth)
            if sign == "/" and factor == 0:
                raise FormulaError(f"{self.formula!r} divides by zero")
            value = value * factor if sign == "*" else value / factor
        return value

    def atom(self, depth: int) -> float:
        negative = False
        while sign := self.accept("+-"):
            negative ^= sign == "-"
        value = self.operand(depth)
        return -value if negative else value

    def operand(self, depth: int) -> float:
        if self.position >= len(self.tokens) or depth > _MAX_PARENTHESES:
            raise FormulaError(f"{self.formula!r} is not simple arithmetic")
        token = self.tokens[self.position]
        if token["sum"] or token["sign"] == "(":
            self.position += 2 if token["sum"] else 1
            value = self.sum(depth + 1)
            if not self.accept(")"):
                raise FormulaError(f"{self.formula!r} lacks a closing parenthesis")
            return value
        self.position += 1
        if token["number"]:
            return float(token["number"])
        if token["column"]:
            return float(self.read(token["quoted"] or token["sheet"], token["column"], int(token["row"])))
        raise FormulaError(f"{self.formula!r} is not simple arithmetic")
