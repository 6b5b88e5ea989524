"""Annotation workbooks as the owners release them: text ids, blank cells, formulas with the values that Excel stored.

XlsxWriter is used because it writes a formula together with its stored value, which openpyxl cannot.
"""

import csv
import dataclasses
import datetime
import io
from collections.abc import Mapping, Sequence

import xlsxwriter

_CREATED = datetime.datetime(2014, 5, 8)  # any fixed date: the bytes must not tell when a corpus was rendered


class IdText(str):
    """An id in a cell of the number format Text (`@`), so that Excel leaves its zeros alone."""


@dataclasses.dataclass(frozen=True)
class Formula:
    """A formula and the value that Excel stored for it; None where a program dropped that."""

    text: str
    value: float | None


class _Blank:
    """An empty cell that has a format, and so counts among the cells of its sheet."""


BLANK = _Blank()
Cell = str | int | float | Formula | _Blank | None
Row = Sequence[Cell]


def make_workbook(sheets: Mapping[str, Sequence[Row]]) -> bytes:
    """Writes an .xlsx file.

    Args:
        sheets: rows by the name of the sheet; None is an empty cell.
    """
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        book.set_properties({"created": _CREATED})
        text = book.add_format({"num_format": "@"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row, cells in enumerate(rows):
                for column, cell in enumerate(cells):
                    match cell:
                        case None:
                            continue
                        case _Blank():
                            sheet.write_blank(row, column, None, text)
                        case IdText():
                            sheet.write_string(row, column, cell, text)
                        case str():
                            sheet.write_string(row, column, cell)
                        case Formula():
                            value = "" if cell.value is None else cell.value
                            sheet.write_formula(row, column, cell.text, None, value)
                        case _:
                            sheet.write_number(row, column, cell)
    return buffer.getvalue()


def make_csv(rows: Sequence[Row]) -> bytes:
    """Writes the same as .csv, the stored value in the place of a formula."""
    buffer = io.StringIO()
    plain = ([cell.value if isinstance(cell, Formula) else cell for cell in row] for row in rows)
    csv.writer(buffer, lineterminator="\r\n").writerows(plain)
    return buffer.getvalue().encode()
