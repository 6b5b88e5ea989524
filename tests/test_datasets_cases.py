"""Copies and spreadsheets as people have them: small files in tests/cases, and trees that are quickly made."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from datasets import cached
from datasets.build import build
from datasets.cached import sign, verify
from datasets.casme2.release import Casme2
from datasets.check import check, main
from datasets.folders import list_frames
from datasets.megc2019.release import Megc2019
from datasets.read import load_clips
from datasets.records import Reason
from datasets.release import find_release, why_not_shown
from datasets.samm.release import Samm
from datasets.smic.release import Smic
from datasets.spreadsheet import find_header, open_sheets, table_rows
from datasets.surrogate.corpus import render_corpus
from mer_jax.data.clips import Clips
from mer_jax.errors import CorpusError
from mer_jax.vision.face_model import find_face_model
from tests.corpora import (
    BMP,
    CASME2_ROWS,
    Formula,
    Reading,
    write_book,
    write_casme2,
    write_frames,
    write_samm,
    write_smic,
    write_smic_e,
)

CASES = Path(__file__).parent / "cases"


def write_tree(release, top, name, path):
    """Writes the folders of frames that the rows of an annotation call for, and puts the annotation beside them."""
    top.mkdir()
    shutil.copy(path, top / name)
    reader = release(top)
    sheet, header, columns = find_header(
        open_sheets(path), reader.columns, optional=reader.optional_columns, prefer=reader.sheet
    )
    for row in table_rows(sheet, header, columns):
        subject = row.text("Subject").zfill(2)
        folder = f"sub{subject}" if release is Casme2 else row.text("Filename")[:3]
        numbers = range(row.frame("Onset"), row.frame("Offset") + 1)
        write_frames(top / "selected" / folder / row.text("Filename"), numbers)
    return top


class TestSpreadsheets:
    @pytest.mark.parametrize(
        ("release", "case", "name", "count"),
        [
            (Casme2, "casme2_merged.xlsx", "CASME2-coding-20140508.xlsx", 18),
            (Samm, "samm_merged.xlsx", "SAMM_Micro_FACS_Codes_v2.xlsx", 18),
            (Casme2, "casme2_strict.xlsx", "CASME2-coding-20140508.xlsx", 18),
            (Casme2, "casme2_utf16.csv", "CASME2-coding-20190701.csv", 18),
        ],
    )
    def test_every_row_is_read(self, tmp_path, release, case, name, count):
        corpus = release.read(write_tree(release, tmp_path / "copy", name, CASES / case))
        assert len(corpus.records) == count
        assert "unusable" not in corpus.findings

    def test_an_unknown_label_is_named_with_the_nearest(self, tmp_path):
        top = write_tree(Casme2, tmp_path / "copy", "CASME2-coding-20140508.xlsx", CASES / "casme2_typo.xlsx")
        (told,) = Reading(Casme2, top, "5class").told("other")[1:]  # after the missing objective classes
        assert "row 4: emotion 'happines' of sub01_EP16_01 is unknown; did you mean 'happiness'?" in told

    def test_two_labels_of_one_clip_are_a_conflict(self, tmp_path):
        row = CASME2_ROWS[0]
        write_casme2(tmp_path, [row, (*row[:-1], "disgust")])
        (told,) = Reading(Casme2, tmp_path).told("unusable")
        assert "is listed twice with conflicting labels (emotion 'happiness' and 'disgust')" in told

    def test_the_exact_name_comes_before_a_copy(self, tmp_path):
        write_casme2(tmp_path)
        shutil.copy(tmp_path / "CASME2-coding-20140508.xlsx", tmp_path / "CASME2-coding-20140508 (1).xlsx")
        corpus = Casme2.read(tmp_path)
        assert corpus.annotation.name == "CASME2-coding-20140508.xlsx"
        assert any("20140508 (1).xlsx is an annotation too" in told for told in corpus.findings["not_read"])


def add_parts(path, parts):
    """Replaces parts of a workbook."""
    with zipfile.ZipFile(path) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in (old | parts).items():
            archive.writestr(name, part)
    return path


class TestBombs:
    @pytest.fixture
    def book(self, tmp_path):
        return write_book(tmp_path / "a.xlsx", {"S": [("Subject", "OnsetFrame"), ("01", 3)]})

    def test_a_row_of_a_million_empty_cells(self, book):
        row = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row>'
        cells = row + b"<c/>" * 1_100_000 + b"</row></sheetData></worksheet>"
        assert add_parts(book, {"xl/worksheets/sheet1.xml": cells}).stat().st_size < 30_000
        with pytest.raises(CorpusError, match=r"more than 1000000 cells or texts in xl/worksheets/sheet1\.xml"):
            open_sheets(book)

    def test_a_million_shared_texts(self, book):
        add_parts(book, {"xl/sharedStrings.xml": b"<sst>" + b"<si/>" * 1_100_000 + b"</sst>"})
        with pytest.raises(CorpusError, match=r"more than 1000000 cells or texts in xl/sharedStrings\.xml"):
            open_sheets(book)

    def test_entities_in_a_part_of_another_name(self, book):
        add_parts(book, {"xl/worksheets/sheet1.bin": b'<!DOCTYPE x [<!ENTITY a "aaaa">]>'})
        with pytest.raises(CorpusError, match=r"declares entities in xl/worksheets/sheet1\.bin"):
            open_sheets(book)

    def test_a_workbook_without_sheets(self, book):
        with zipfile.ZipFile(book) as archive:
            workbook = archive.read("xl/workbook.xml")
        head, _, rest = workbook.partition(b"<sheets>")
        add_parts(book, {"xl/workbook.xml": head + b"<sheets/>" + rest.partition(b"</sheets>")[2]})
        with pytest.raises(CorpusError, match=r"is a workbook without sheets|cannot be read as a spreadsheet"):
            open_sheets(book)

    def test_a_long_chain_of_formulas_ends(self, tmp_path):
        chain = [(Formula(f"=A{row + 1}+1"), "x") for row in range(2, 3000)]
        path = write_book(tmp_path / "a.xlsx", {"S": [("Subject", "x"), *chain, (1, "x")]}, stored=False)
        (sheet,) = open_sheets(path)
        values = [cells[0] for cells in sheet.rows[1:]]
        assert values[-3:] == [3, 2, 1]  # what is near the end is known
        assert values[0] is None

    def test_a_formula_of_itself_ends(self, tmp_path):
        rows = [("Subject", "x"), (Formula("=A3"), "x"), (Formula("=A2"), "x")]
        path = write_book(tmp_path / "a.xlsx", {"S": rows}, stored=False)
        assert [cells[0] for cells in open_sheets(path)[0].rows[1:]] == [None, None]

    def test_ranges_merged_over_and_over(self, book):
        merges = b"<mergeCells>" + b'<mergeCell ref="A1:C50000"/>' * 100 + b"</mergeCells></worksheet>"
        with zipfile.ZipFile(book) as archive:
            sheet = archive.read("xl/worksheets/sheet1.xml")
        add_parts(book, {"xl/worksheets/sheet1.xml": sheet.replace(b"</worksheet>", merges)})
        with pytest.raises(CorpusError, match="more than 1000000 cells are merged"):
            open_sheets(book)


def test_a_picture_that_claims_to_be_huge_is_not_decoded(tmp_path):
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (20_000).to_bytes(4, "big") * 2
    write_frames(tmp_path / "samm" / "006", ["006_1_2"], "{}.png", head + b"IEND")
    (tmp_path / "labels.csv").write_text("corpus,subject,clip,label\nsamm,6,006_1_2,0\n")
    with pytest.raises(CorpusError, match=r"006_1_2\.png has 20000x20000 pixels; expected motion features of 28x28"):
        build("megc2019", tmp_path, variant="flow_features", data_dir=tmp_path / "data", say=lambda line: None)


class TestFolders:
    def test_the_digits_that_vary_are_the_number(self, tmp_path):
        write_frames(tmp_path, range(120, 130), "frame{}_0.bmp", BMP)
        frames, numbers, oddities = list_frames(tmp_path)
        assert numbers == list(range(120, 130))
        assert (len(frames), oddities) == (10, [])

    def test_the_last_digits_count_where_several_vary(self, tmp_path):
        for number in range(8, 12):
            write_frames(tmp_path, [number], f"take{number % 3}_{{}}.jpg")
        assert list_frames(tmp_path)[1] == [8, 9, 10, 11]

    def test_a_browsers_copy_is_set_aside(self, tmp_path):
        write_frames(tmp_path, range(123456, 123460), "image{}.bmp", BMP)
        for name in ("image123456 (1).bmp", "image123457 - Copy.bmp", "image123458 - Kopie (2).bmp"):
            (tmp_path / name).write_bytes(BMP)
        _, numbers, oddities = list_frames(tmp_path)
        assert numbers == [123456, 123457, 123458, 123459]
        assert len(oddities) == 3
        assert "image123456 (1).bmp repeats the frame number of image123456.bmp" in oddities[0]

    def test_a_copy_stands_in_for_a_missing_frame(self, tmp_path):
        write_frames(tmp_path, [5, 7], "image{}.bmp", BMP)
        (tmp_path / "image6 (1).bmp").write_bytes(BMP)
        frames, numbers, _ = list_frames(tmp_path)
        assert (numbers, frames[1].name) == ([5, 6, 7], "image6 (1).bmp")

    def test_a_clip_of_one_frame_is_refused(self, tmp_path):
        hs = write_smic(tmp_path)
        write_frames(hs / "s1" / "micro" / "negative" / "s1_ne_02", [7], "image{}.bmp", BMP)
        unusable = Smic.read(tmp_path).unusable["s1_ne_02"]
        assert unusable.reason is Reason.FEW_FRAMES
        assert "has one frame, image7.bmp; expected two or more" in unusable.detail

    def test_missing_frames_are_named(self, tmp_path):
        root = write_casme2(tmp_path)
        for number in (47, 50, 51, 52):
            (root / "sub09" / "EP09f" / f"img{number}.jpg").unlink()
        (told,) = Casme2.read(tmp_path).findings["frames_missing"]
        assert "lacks 4 of its frames 46 to 66 in" in told
        assert "(47, 50-52)" in told

    def test_links_out_of_the_tree_are_named(self, tmp_path):
        root = write_casme2(tmp_path / "copy")
        (root / "sub09" / "EP09f").rename(tmp_path / "elsewhere")
        (root / "sub09" / "EP09f").symlink_to(tmp_path / "elsewhere")
        corpus = Casme2.read(tmp_path / "copy")
        assert "sub09_EP09f" in {record.clip_id for record in corpus.records}
        told = f"{root / 'sub09' / 'EP09f'} is a link to {tmp_path / 'elsewhere'}, outside of {tmp_path / 'copy'}"
        assert [each for each in corpus.findings["other"] if each.startswith(told)]
        assert "other" not in Casme2.read(tmp_path).findings

    def test_a_tree_that_is_passed_over_says_how_to_read_it(self, tmp_path):
        write_casme2(tmp_path)
        cropped = write_casme2(tmp_path, tree="Cropped")
        assert f"{cropped} holds clips too; --variant cropped reads it" in Casme2.read(tmp_path).findings["not_read"]

    def test_smic_e_alone_hints_at_its_variant(self, tmp_path):
        write_smic_e(tmp_path)
        with pytest.raises(CorpusError, match=r"no SMIC \(hs\) .* It holds SMIC-E: --variant hs_e or vis_e reads it"):
            Smic.read(tmp_path)

    def test_features_given_to_the_composite_hint_at_their_variant(self, tmp_path):
        write_frames(tmp_path / "samm" / "006", ["006_1_2"], "{}.png", b"\x89PNG")
        (tmp_path / "labels.csv").write_text("corpus,subject,clip,label\nsamm,6,006_1_2,0\n")
        with pytest.raises(CorpusError, match=r"below one folder: .* --variant flow_features reads them"):
            Megc2019.read(tmp_path)

    def test_damage_is_printed_before_differences(self, tmp_path):
        root = write_samm(tmp_path)
        (root / "006" / "006_1_2" / "006_05570.jpg").write_bytes(b"")
        lines = check("samm", tmp_path).lines()
        assert lines[1].startswith("  damaged: 006_1_2: ")
        assert any(line.startswith("  differs: ") for line in lines[2:])


class TestCommands:
    def test_a_reader_that_stops_early_is_no_error(self, tmp_path):
        write_casme2(tmp_path)
        command = f"{sys.executable} -m datasets.check casme2 --manual_dir {tmp_path} | head -1"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("CASME II (selected, 3class)")

    def test_names_of_files_cannot_steer_the_terminal(self, tmp_path, capsys):
        root = write_casme2(tmp_path)
        write_frames(root / "sub01" / "EP09_09\x1b[31m", range(3))
        assert main(["casme2", "--manual_dir", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert r"EP09_09\x1b[31m is in no row of the annotation" in out

    def test_a_home_folder_is_expanded(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("MER_FACE_MODEL", str(find_face_model()))
        monkeypatch.setenv("HOME", str(tmp_path))
        write_casme2(tmp_path / "corpora")
        assert main(["casme2", "--manual_dir", "~/corpora"]) == 0
        assert "usable: 7 clips" in capsys.readouterr().out
        assert render_corpus("~/out", num_subjects=1, num_clips=3, scale=0.2, workers=1, log=lambda line: None) == (
            tmp_path / "out" / "SMIC_all_raw"
        )

    def test_what_is_built_is_read_without_writing(self, tmp_path):
        """So that it may lie on a read-only disk."""
        render_corpus(tmp_path, num_subjects=1, num_clips=3, scale=0.25, workers=1, log=lambda line: None)
        settings = {"data_dir": tmp_path / "data", "workers": 1, "say": lambda line: None}
        folder = build("smic", tmp_path, **settings)
        before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
        assert build("smic", tmp_path, **settings) == folder
        assert len(load_clips(folder)) == 3
        assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before


class TestCacheFiles:
    def test_no_flipped_bit_is_believed(self, tmp_path, capsys):
        path = tmp_path / "a.npz"
        content = sign(np.random.default_rng(0).bytes(300))
        for bit in range(0, 8 * len(content), 7):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            assert verify(path) is None
            assert "is damaged; it is set aside and computed again" in capsys.readouterr().err
        assert path.with_name("a.npz.damaged").exists()
        path.write_bytes(content)
        assert verify(path) == content[32:]
        assert verify(tmp_path / "nothing") is None

    def test_the_checksum_is_of_the_content(self):
        assert cached.sign(b"a")[:32] != cached.sign(b"b")[:32]


class TestPublication:
    def clips(self, corpus_name, corpus, subject, provenance="licensed"):
        return Clips.from_arrays(
            np.zeros((1, 2, 128, 128), np.uint8), ["a"], [subject], corpora=[corpus], corpus_name=corpus_name,
            provenance=provenance,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "corpus", "subject", "reason"),
        [
            ("casme2", "casme2", "sub12", "sub12 must not be shown"),
            ("casme2", "casme2", "sub22", "sub22 must not be shown"),
            ("casme2", "casme2", "sub01", ""),
            ("samm", "samm", "006", "nobody may be shown without permission"),
            ("smic", "smic", "s1", "nobody may be shown without permission"),
            ("megc2019", "casme2", "casme2_sub12", "sub12 must not be shown"),
            ("megc2019", "casme2", "casme2_sub13", ""),
            ("megc2019", "smic", "smic_s1", "nobody may be shown without permission"),
            ("arrays", "arrays", "ann", ""),
        ],
    )
    def test_who_may_be_shown(self, name, corpus, subject, reason):
        assert why_not_shown(self.clips(name, corpus, subject), 0).startswith(reason)
        assert bool(why_not_shown(self.clips(name, corpus, subject), 0)) == bool(reason)
        assert why_not_shown(self.clips(name, corpus, subject, "surrogate"), 0) == ""

    def test_pictures_carry_their_credit(self):
        assert find_release("casme2").publication.credit == "(c) Xiaolan Fu"
