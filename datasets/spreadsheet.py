"""Reads annotation files, .xlsx or .csv, as text and numbers that know their own place.

Ids stay text ("006" is no 6). The header is found by its cells, not by its row. Values of formulas are the stored ones;
where a program dropped those, they are worked out again. What is wrong in a cell is said with file, sheet, row and
cell. A file is a stranger's: its size is bounded before it is opened, also the size that it unpacks to.
"""

import contextlib
import csv
import dataclasses
import functools
import io
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils import column_index_from_string, get_column_letter, range_boundaries

from datasets.formulas import FormulaError, evaluate
from mer_jax.errors import CorpusError

MAX_FILE_BYTES = 32 * 2**20  # the largest annotation file known has 0.2 MB
MAX_UNPACKED_BYTES = 128 * 2**20
MAX_MEMBERS = 1000
MAX_ROWS = 50_000
MAX_COLUMNS = 100
MAX_CELL = 2000  # characters that are kept of a text
MAX_CELLS = 1_000_000  # and shared texts; SAMM's annotation has 2,000
_MAX_CHAIN = 50  # formulas that refer to one another; those of the releases do three deep
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY", b"<\0!\0D\0O\0C\0", b"<\0!\0E\0N\0T\0")  # in UTF-8 and UTF-16
_STRICT = b"http://purl.oclc.org/ooxml/"  # of Strict Open XML, which openpyxl does not read
_TRANSITIONAL = {
    _STRICT + b"spreadsheetml/main": b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    _STRICT + b"officeDocument/relationships": b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    _STRICT + b"drawingml/main": b"http://schemas.openxmlformats.org/drawingml/2006/main",
}
_HEADER_WITHIN = 60  # rows from the top; SAMM's is row 14


class CellError(CorpusError):
    """A cell that does not hold what its column promises; the message names file, sheet, row and cell.

    Attributes:
        key: of the clip that the row is of, where the row says so.
    """

    key: tuple[int, str] | None = None


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One sheet, or a whole .csv file.

    Attributes:
        path: the file.
        name: of the sheet; empty for .csv.
        rows: cells of each row, from the first row of the file on.
    """

    path: Path
    name: str
    rows: tuple[tuple[Any, ...], ...]

    def place(self, row: int, column: int | None = None, title: str = "") -> str:
        """Names a row, or a cell.

        Args:
            row: 1-based, as programs show it.
            column: 0-based.
            title: of the column.
        """
        sheet = f", sheet {self.name}" if self.name else ""
        cell = "" if column is None else f", cell {get_column_letter(column + 1)}{row}"
        return f"{self.path.name}{sheet}, row {row}{cell}" + (f" ({title})" if title else "")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        sheet: that it is in.
        number: 1-based, as programs show it.
        cells: from column A on.
        columns: position of each named column that the sheet has, 0-based.
    """

    sheet: Sheet
    number: int
    cells: tuple[Any, ...]
    columns: Mapping[str, int]

    def place(self, column: str | None = None) -> str:
        """Names the row, or one of its cells, for a message."""
        if column is None or column not in self.columns:
            return self.sheet.place(self.number)
        return self.sheet.place(self.number, self.columns[column], column)

    def value(self, column: str) -> Any:
        """Returns a cell as stored; None if it is empty or the sheet lacks the column."""
        index = self.columns.get(column)
        value = self.cells[index] if index is not None and index < len(self.cells) else None
        return None if isinstance(value, str) and not value.strip() else value

    def text(self, column: str) -> str:
        """Returns a cell as text without blanks around it; numbers without a needless `.0`."""
        value = self.value(column)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return "" if value is None else str(value).strip()[:MAX_CELL]

    def match(self, column: str, pattern: re.Pattern, example: str) -> re.Match:
        """Returns the match of a cell that holds the name of a clip.

        Raises:
            CellError: It holds something else.
        """
        text = self.text(column)
        if found := pattern.fullmatch(text):
            return found
        raise CellError(f"{self.place(column)} holds {text[:60]!r}; expected the name of a clip, such as {example}.")

    def frame(self, column: str, *, missing: Sequence[str] = ("", "/")) -> int | None:
        """Returns a cell that holds a frame number.

        Args:
            column: its name.
            missing: texts that mean that there is no number.

        Returns:
            the number, 0 or more; None where there is none.

        Raises:
            CellError: it holds something else.
        """
        value, text = self.value(column), self.text(column)
        if text in missing:
            return None
        try:
            number = float(text) if not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not number.is_integer() or not 0 <= number < 10**12:
            raise CellError(f"{self.place(column)} holds {text[:60]!r}; expected a frame number.")
        return int(number)


def open_sheets(path: Path) -> list[Sheet]:
    """Opens an annotation file.

    Args:
        path: .xlsx, .xlsm or .csv.

    Returns:
        its sheets in their order; a .csv file is one.

    Raises:
        CorpusError: it cannot be read, is no such file, or is far larger than an annotation.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise CorpusError(
                f"{path} has {size / 1e6:.0f} MB; an annotation has less than {MAX_FILE_BYTES / 1e6:.0f} MB, so this "
                "is something else."
            )
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}.") from error
    if not content:
        raise CorpusError(f"{path} is an empty file; expected a spreadsheet. Copy it again from its source.")
    if path.suffix.lower() == ".csv":
        return [_read_csv(path, content)]
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise CorpusError(
            f"{path} is a spreadsheet of the old .xls form, or protected by a password; expected .xlsx or .csv. "
            "Save it as .xlsx under another name beside it."
        )
    sheets = _read_workbook(path, _check_archive(path, content))
    if not sheets:
        raise CorpusError(f"{path} is a workbook without sheets; expected an annotation.")
    return sheets


def find_header(
    sheets: Sequence[Sheet], columns: Mapping[str, Sequence[str]], *, optional: Sequence[str] = (), prefer: str = ""
) -> tuple[Sheet, int, dict[str, int]]:
    """Finds the sheet and the row that hold a table's header.

    Args:
        sheets: of one file.
        columns: for each column that the caller wants, how it may be spelled; case, blanks, `_` and `.` do not count.
            The first of them is the one by which a header is known.
        optional: those that may be absent.
        prefer: name of the sheet to take if several have such a header.

    Returns:
        the sheet, the row (0-based), and the position of each column that is there, 0-based.

    Raises:
        CorpusError: no sheet has it; the message names the columns that are missing.
    """
    wanted = {name: {_fold(each) for each in spellings} for name, spellings in columns.items()}
    key = next(iter(columns))
    nearest: tuple[int, str] | None = None
    for sheet in sorted(sheets, key=lambda each: _fold(each.name) != _fold(prefer)):
        for index, cells in enumerate(sheet.rows[:_HEADER_WITHIN]):
            folded = [_fold(cell) if isinstance(cell, str) else "" for cell in cells]
            if not any(cell in wanted[key] for cell in folded):
                continue
            found = {}
            for name, spellings in wanted.items():
                positions = [position for position, cell in enumerate(folded) if cell in spellings]
                if positions:
                    found[name] = positions[0]
            missing = [columns[name][0] for name in columns if name not in found and name not in optional]
            if not missing:
                return sheet, index, found
            if nearest is None or len(missing) < nearest[0]:
                shown = ", ".join(str(cell) for cell in cells if cell not in (None, ""))
                nearest = (
                    len(missing),
                    f"{sheet.place(index + 1)} is the header and lacks the column {', '.join(missing)}; it has "
                    f"{shown[:300]}.",
                )
    if nearest:
        raise CorpusError(f"{sheets[0].path.parent / nearest[1]}")
    names = ", ".join(sheet.name for sheet in sheets if sheet.name)
    raise CorpusError(
        f"{sheets[0].path}: no sheet has a header with the cell {columns[key][0]} in its first {_HEADER_WITHIN} rows"
        + (f"; its sheets are {names}" if names else "")
        + ". This is another file, or its annotation sheet was removed."
    )


def table_rows(sheet: Sheet, header: int, columns: Mapping[str, int]) -> list[Row]:
    """Lists the rows below a header that hold anything in the named columns.

    Args:
        sheet: from `find_header`.
        header: its row, 0-based; -1 if there is none.
        columns: their positions.
    """
    rows = [
        Row(sheet, index + 1, cells, columns) for index, cells in enumerate(sheet.rows[header + 1 :], start=header + 1)
    ]
    return [row for row in rows if any(row.value(column) is not None for column in columns)]


def subject_number(row: Row, column: str) -> int:
    """Returns the number in a subject's id, however it is written: 1, "01", "sub01", "s1".

    Raises:
        CellError: there is no number.
    """
    match = re.fullmatch(r"[a-z]*[ _-]*0*(\d{1,6})", row.text(column).casefold())
    if not match:
        raise CellError(f"{row.place(column)} holds {row.text(column)[:60]!r}; expected the number of a subject.")
    return int(match.group(1))


def _fold(text: str) -> str:
    return re.sub(r"[\s_.]+", "", text).casefold()


def _read_csv(path: Path, content: bytes) -> Sheet:
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # what Excel calls Unicode text
    for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "gb18030", "latin-1"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise CorpusError(f"{path} begins as UTF-16 and is damaged. Copy it again from its source.")
    first = text[:4096]
    delimiter = max(",;\t", key=first.count)
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append(tuple(row[:MAX_COLUMNS]))
            if len(rows) > MAX_ROWS:
                raise CorpusError(f"{path} has more than {MAX_ROWS} rows, so this is no annotation.")
    except csv.Error as error:
        raise CorpusError(f"{path}, row {len(rows) + 1} cannot be read as csv: {error}.") from error
    return Sheet(path, "", tuple(rows))


def _check_archive(path: Path, content: bytes) -> bytes:
    """Refuses what is no spreadsheet, unpacks to too much, or declares entities; returns what openpyxl reads."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
                raise CorpusError(
                    f"{path} unpacks to {unpacked / 1e6:,.0f} MB in {len(members)} parts; an annotation has less than "
                    f"{MAX_UNPACKED_BYTES / 1e6:.0f} MB, so it is damaged or hostile and is not opened."
                )
            # The stated sizes bound what is read: zipfile returns no byte more than a member claims.
            parts = {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise CorpusError(f"{path} is no .xlsx file, or is damaged: {error}. Copy it again from its source.") from error
    except CorpusError:
        raise
    except Exception as error:  # zlib.error and lzma's own have no common base
        raise CorpusError(f"{path} is damaged: {error}. Copy it again from its source.") from error
    if "[Content_Types].xml" not in parts:
        raise CorpusError(f"{path} is an archive, but no spreadsheet; expected .xlsx.")
    for name, part in parts.items():  # whatever its name: which part is XML is said elsewhere in the file
        if any(mark in part for mark in _DECLARATIONS):
            raise CorpusError(
                f"{path} declares entities in {name}, which no spreadsheet program writes; it is not opened."
            )
        if part.count(b"<c ") + part.count(b"<c>") + part.count(b"<c/") + part.count(b"<si") > MAX_CELLS:
            raise CorpusError(f"{path} has more than {MAX_CELLS} cells or texts in {name}, so this is no annotation.")
    if not any(_STRICT in part for part in parts.values()):
        return content
    readable = io.BytesIO()
    with zipfile.ZipFile(readable, "w") as archive:
        for name, part in parts.items():
            for strict, transitional in _TRANSITIONAL.items():
                part = part.replace(strict, transitional)
            archive.writestr(name, part)
    return readable.getvalue()


def _read_workbook(path: Path, content: bytes) -> list[Sheet]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that do not matter here
            stored = _load(content, data_only=True)
            empty = {name for name, rows in stored.items() for row in rows if any(cell is None for cell in row)}
            if empty:
                stored = _recompute(stored, functools.partial(_load, content, data_only=False))
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from error
    except Exception as error:  # openpyxl meets a broken file with whatever its parsers raise
        raise CorpusError(
            f"{path} cannot be read as a spreadsheet: {type(error).__name__}: {error}. Copy it again from its source."
        ) from error
    return [Sheet(path, name, rows) for name, rows in stored.items()]


def _load(content: bytes, *, data_only: bool) -> dict[str, tuple[tuple[Any, ...], ...]]:
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=data_only, keep_links=False)
    try:
        sheets = {}
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # a file may state them wrongly
            rows, blank = [], 0
            # A stray cell in the last row of the sheet must not cost the reading of a million empty ones.
            for cells in sheet.iter_rows(max_row=MAX_ROWS + 1, max_col=MAX_COLUMNS, values_only=True):
                if all(cell is None for cell in cells):
                    blank += 1
                    continue
                if len(rows) + blank >= MAX_ROWS:
                    raise CorpusError(f"sheet {sheet.title} has more than {MAX_ROWS} rows, so this is no annotation.")
                rows += [()] * blank
                blank = 0
                rows.append(tuple(cells))
            sheets[sheet.title] = _fill_merged(rows, book._archive.read(sheet._worksheet_path))
        return sheets
    finally:
        book.close()


def _fill_merged(rows: list[tuple[Any, ...]], part: bytes) -> tuple[tuple[Any, ...], ...]:
    """Gives every cell of a merged range the value of its first; openpyxl leaves them out where it streams."""
    filled, left_over = [list(cells) for cells in rows], MAX_CELLS
    for reference in re.findall(rb'<(?:\w+:)?mergeCell [^>]*ref="([A-Z]{1,3}\d+:[A-Z]{1,3}\d+)"', part):
        left, top, right, bottom = range_boundaries(reference.decode())
        value = _cell(filled, get_column_letter(left), top)
        left_over -= bottom - top + 1
        if left_over < 0:
            raise CorpusError(f"more than {MAX_CELLS} cells are merged, so this is no annotation.")
        for cells in filled[top - 1 : bottom] if value is not None else ():
            cells += [None] * (min(right, MAX_COLUMNS) - len(cells))
            for column in range(left - 1, min(right, MAX_COLUMNS)):
                cells[column] = value if cells[column] is None else cells[column]
    return tuple(map(tuple, filled))


def _recompute(stored: dict, load_formulas) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """Fills cells whose formula is there and whose stored value is not."""
    formulas = load_formulas()
    by_name = {name.casefold(): name for name in stored}
    known: dict[tuple[str, str, int], float | FormulaError] = {}
    chain: list[tuple[str, str, int]] = []

    def number(*cell: Any) -> float:
        if cell not in known:
            if len(chain) > _MAX_CHAIN or cell in chain:
                raise FormulaError(
                    f"cell {cell[1]}{cell[2]} of sheet {cell[0]} refers to itself, or to too many others"
                )
            chain.append(cell)
            try:
                known[cell] = compute(*cell)
            except FormulaError as error:
                known[cell] = error
            finally:
                chain.pop()
        if isinstance(found := known[cell], FormulaError):
            raise found
        return found

    def compute(name: str, column: str, row: int) -> float:
        value = _cell(stored.get(name, ()), column, row)
        if value is None:
            formula = _cell(formulas.get(name, ()), column, row)
            if isinstance(formula, str) and formula.startswith("="):
                return evaluate(formula, lambda sheet, *cell: read(sheet or name, *cell))
            value = 0  # as spreadsheets take an empty cell
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FormulaError(f"cell {column}{row} of sheet {name} holds no number")
        return float(value)

    def read(sheet: str, column: str, row: int) -> float:
        if sheet.casefold() not in by_name:
            raise FormulaError(f"there is no sheet {sheet}")
        return number(by_name[sheet.casefold()], column, row)

    filled = {name: [list(cells) for cells in rows] for name, rows in stored.items()}
    for name, rows in formulas.items():
        for index, cells in enumerate(rows[: len(filled[name])]):
            for position, formula in enumerate(cells[: len(filled[name][index])]):
                is_lost = filled[name][index][position] is None and isinstance(formula, str) and formula[:1] == "="
                with contextlib.suppress(FormulaError):
                    if is_lost:
                        value = number(name, get_column_letter(position + 1), index + 1)
                        filled[name][index][position] = int(value) if value.is_integer() else value
    return {name: tuple(map(tuple, rows)) for name, rows in filled.items()}


def _cell(rows: Sequence[Sequence[Any]], column: str, row: int) -> Any:
    position = column_index_from_string(column) - 1
    return rows[row - 1][position] if 0 < row <= len(rows) and position < len(rows[row - 1]) else None
