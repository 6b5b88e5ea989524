"""Annotation files, friendly and hostile."""

import io
import re
import zipfile

import pytest

from datasets.formulas import FormulaError, evaluate
from datasets.spreadsheet import (
    MAX_FILE_BYTES,
    CellError,
    find_header,
    open_sheets,
    subject_number,
    table_rows,
)
from mer_jax.errors import CorpusError
from tests.corpora import Formula, write_book

COLUMNS = {"Subject": ("Subject",), "Onset": ("Onset Frame", "OnsetFrame")}


def read(path):
    return table_rows(*find_header(open_sheets(path), COLUMNS))


class TestTables:
    def test_ids_stay_text_and_the_header_is_found(self, tmp_path):
        rows = [("notes",), (), ("subject ", None, "ONSET_FRAME"), ("006", None, 7), (None, None, None), (7, None, "8")]
        table = read(write_book(tmp_path / "a.xlsx", {"Other": [("x",)], "Data": rows}))
        assert [row.text("Subject") for row in table] == ["006", "7"]
        assert [row.frame("Onset") for row in table] == [7, 8]
        assert [subject_number(row, "Subject") for row in table] == [6, 7]
        assert table[1].place("Onset") == "a.xlsx, sheet Data, row 6, cell C6 (Onset)"
        assert table[0].value("Nothing") is None

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
    def test_csv(self, tmp_path, delimiter, encoding):
        lines = [["Subject", "OnsetFrame", "情绪"], ["01", "46", "é"]]
        path = tmp_path / "a.csv"
        path.write_bytes("\r\n".join(delimiter.join(line) for line in lines).encode(encoding, errors="replace"))
        (row,) = read(path)
        assert (row.text("Subject"), row.frame("Onset")) == ("01", 46)
        assert row.place("Onset") == "a.csv, row 2, cell B2 (Onset)"

    @pytest.mark.parametrize("cell", ["46a", 4.5, -1, True, 10**13, "nan", "inf"])
    def test_a_cell_that_is_no_frame_number(self, tmp_path, cell):
        (row,) = read(write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame"), ("01", cell)]}))
        with pytest.raises(
            CellError, match=r"^a\.xlsx, sheet S, row 2, cell B2 \(Onset\) holds .*expected a frame number"
        ):
            row.frame("Onset")

    def test_a_sheet_that_states_a_wrong_size(self, tmp_path):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame"), ("01", 3), ("02", 4)]})
        rewrite(path, lambda name, part: part.replace(b'ref="A1:B3"', b'ref="A1"'))
        assert len(read(path)) == 2

    def test_a_stray_cell_at_the_end_of_the_sheet(self, tmp_path):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame"), ("01", 3)]})
        stray = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
        rewrite(path, lambda name, part: part.replace(b"</sheetData>", stray))
        assert len(read(path)) == 1


class TestFormulas:
    @pytest.mark.parametrize("stored", [True, False])
    def test_results_are_worked_out_where_they_are_lost(self, tmp_path, stored):
        rows = [("01", Formula("=SUM(C2-B!A1)+1", 5), 9), ("02", Formula("=B2*2", 10), 9)]
        sheets = {"A": [("Subject", "OnsetFrame", "x"), *rows], "B": [(5,)]}
        table = read(write_book(tmp_path / "a.xlsx", sheets, stored=stored))
        assert [row.frame("Onset") for row in table] == [5, 10]

    @pytest.mark.parametrize("formula", ["=B2", "=INDIRECT(C2)", "=1/0", "=Z!A1", '=HYPERLINK("x")', "=A1+1"])
    def test_what_cannot_be_worked_out_is_empty(self, tmp_path, formula):
        rows = [("Subject", "OnsetFrame"), ("01", Formula(formula))]
        (row,) = read(write_book(tmp_path / "a.xlsx", {"A": rows}, stored=False))
        assert row.frame("Onset") is None

    @pytest.mark.parametrize(
        ("formula", "value"),
        [
            ("=1+2*3", 7),
            ("=-(4-6)/2", 1),
            ("=D2-100*(VIS!D2-VIS!I2)/25", -99),
            ("=SUM($D$2-'VIS'!D2)", 0),
            ("=2-1-1", 0),
        ],
    )
    def test_arithmetic(self, formula, value):
        assert evaluate(formula, lambda sheet, column, row: {"D": 1, "I": -24}[column]) == value

    @pytest.mark.parametrize(
        "formula", ["1", "=", "=(1", "=1)", "=1 2", "=A", "=SUM 1", "=1/0", "=" + "(" * 50, "=1e5"]
    )
    def test_what_is_no_arithmetic(self, formula):
        with pytest.raises(FormulaError):
            evaluate(formula, lambda *cell: 1.0)


def rewrite(path, change):
    """Changes the parts of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, change(name, part) if name.startswith("xl/worksheets") else part)


class TestHostileFiles:
    def refuse(self, path, message):
        with pytest.raises(CorpusError, match=rf"^{re.escape(str(path))}.*{message}") as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(path)) == 1
        assert ".." not in str(caught.value)

    def test_empty(self, tmp_path):
        (tmp_path / "a.xlsx").write_bytes(b"")
        self.refuse(tmp_path / "a.xlsx", "is an empty file")

    def test_no_spreadsheet(self, tmp_path):
        (tmp_path / "a.xlsx").write_bytes(b"<html>log in</html>")
        self.refuse(tmp_path / "a.xlsx", r"is no \.xlsx file, or is damaged")
        (tmp_path / "a.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
        self.refuse(tmp_path / "a.xlsx", r"old \.xls form.*Save it as \.xlsx")
        with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
            archive.writestr("readme.txt", "hello")
        self.refuse(tmp_path / "a.xlsx", "is an archive, but no spreadsheet")

    @pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
    def test_cut_short(self, tmp_path, share):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame"), ("01", 3)]})
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        self.refuse(path, "is no .xlsx file, or is damaged|is damaged|cannot be read")

    def test_damaged_inside(self, tmp_path):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame"), ("01", 3)]})
        rewrite(path, lambda name, part: part[: len(part) // 2])
        self.refuse(path, "cannot be read as a spreadsheet")

    def test_too_large(self, tmp_path):
        with (tmp_path / "a.xlsx").open("wb") as file:
            file.truncate(MAX_FILE_BYTES + 1)  # a hole, not bytes
        self.refuse(tmp_path / "a.xlsx", "an annotation has less than")

    def test_unpacks_to_too_much(self, tmp_path):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame")]})
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/bomb.xml", "w") as member:
            for _ in range(150):
                member.write(bytes(2**20))
        assert path.stat().st_size < 2**20
        self.refuse(path, r"unpacks to 157 MB .*is not opened")

    def test_more_than_it_claims(self, tmp_path):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame")]})
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/bomb.xml", bytes(10**6))
        content = path.read_bytes()
        assert content.count((10**6).to_bytes(4, "little")) == 2
        path.write_bytes(content.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
        self.refuse(path, "damaged")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_entities_that_expand(self, tmp_path, encoding):
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame")]})
        declaration = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
        rewrite(path, lambda name, part: declaration.encode(encoding) + part.partition(b"?>")[2])
        self.refuse(path, "declares entities in xl/worksheets/sheet1.xml")

    def test_too_many_rows(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("Subject,OnsetFrame\n" + "1,2\n" * 50_000)
        self.refuse(path, "more than 50000 rows")

    def test_a_folder_in_its_place(self, tmp_path):
        (tmp_path / "a.xlsx").mkdir()
        with pytest.raises(CorpusError, match=r"cannot read .*a\.xlsx"):
            read(tmp_path / "a.xlsx")

    def test_a_csv_of_binary_data(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(io.BytesIO(bytes(range(256)) * 4).getvalue())
        self.refuse(tmp_path / "a.csv", "no sheet has a header|cannot be read as csv")
