"""The readers of corpora with an annotation file, on small trees in the layouts of the releases."""

import json
import re
import shutil

import pytest

from datasets.casme2.release import Casme2
from datasets.casme_squared.release import CasmeSquared
from datasets.records import Reason
from datasets.samm.release import Samm
from datasets.smic.release import Smic
from mer_jax.errors import CorpusError
from tests.corpora import (
    CASME2_HEADER,
    CASME2_ROWS,
    CASME_SQUARED_ROWS,
    SAMM_ROWS,
    Reading,
    casme2_row,
    samm_row,
    write_book,
    write_casme2,
    write_casme_squared,
    write_frames,
    write_samm,
    write_smic_e,
)


class TestCasme2:
    @pytest.mark.parametrize(
        ("tree", "layout"),
        [
            ("CASME2_RAW_selected", "selected"),
            ("CASME2_RAW_selected/CASME2_RAW_selected", "selected"),
            ("casme2 raw-selected", "selected"),
            ("CASME2_RAW/CASME2-RAW", "raw"),
            ("Cropped", "cropped"),
            ("Cropped-updated/Cropped", "cropped"),
            ("CASME2_preprocessed_Li Xiaobai/Cropped", "cropped"),
            ("CASME II/Daten é/Cropped/Cropped", "cropped"),
        ],
    )
    def test_every_tree_gives_the_same_clips(self, tmp_path, tree, layout):
        root = write_casme2(tmp_path, tree=tree)
        corpus = Reading(Casme2, tmp_path, "7class")
        assert corpus.report.root == root
        assert corpus.report.title == f"CASME II ({layout}, 7class)"
        records = corpus.by_id
        assert len(records) == 10
        record = records["sub01_EP02_01f"]
        assert (record.subject, corpus.class_of[record.clip_id]) == ("sub01", "happiness")
        assert record.frame_numbers == tuple(range(5, 15))
        assert [int(path.stem.rpartition("img")[2]) for path in record.frames] == list(range(5, 15))
        assert (record.onset, record.apex, record.offset) == (0, 4, 9)
        assert records["sub01_EP03_02"].frame_numbers == tuple(range(95, 105))
        assert corpus.told("folders_without_row") == [f"{root / 'sub09' / 'EP02_02f'} is in no row of the annotation"]
        assert corpus.told("rows_without_folder", "unusable", "frames_missing", "other") == []
        (repaired,) = corpus.told("repairs")
        assert repaired == (
            "sub04_EP12_01f (CASME2-coding-20140508.xlsx, sheet Sheet1, row 5): no apex; the frame in the middle, 56, "
            "is used"
        )

    def test_same_names_of_clips_stay_apart(self, tmp_path):
        write_casme2(tmp_path)
        records = Reading(Casme2, tmp_path, "7class").by_id
        assert {"sub01_EP02_01f", "sub09_EP02_01f"} <= set(records)
        assert records["sub09_EP02_01f"].frames[0].parent.parent.name == "sub09"

    @pytest.mark.parametrize(
        ("variant", "counts"),
        [
            ("3class", {"negative": 3, "positive": 2, "surprise": 2}),
            ("megc2019", {"negative": 1, "positive": 2, "surprise": 2}),
            ("3class_fear_sadness", {"negative": 5, "positive": 2, "surprise": 2}),
            ("5class", {"disgust": 2, "happiness": 2, "others": 1, "repression": 1, "surprise": 2}),
            ("objective", {"I": 2, "II": 2, "III": 2, "IV": 1, "V": 1}),
        ],
    )
    def test_schemes(self, tmp_path, variant, counts):
        write_casme2(tmp_path)
        corpus = Reading(Casme2, tmp_path, variant)
        assert corpus.report.by_class == counts
        assert corpus.class_names == Casme2.schemes[variant].class_names

    def test_the_published_counts_are_those_of_the_schemes(self):
        assert sum(Casme2.published.by_label.values()) == sum(Casme2.published.by_subject.values()) == 255
        totals = {name: sum(scheme.by_class.values()) for name, scheme in Casme2.schemes.items()}
        assert (totals["3class"], totals["megc2019"], totals["5class"], totals["7class"]) == (147, 145, 246, 255)
        assert (totals["objective"], totals["objective7"]) == (185, 255)

    def test_a_copy_that_differs_is_told_so(self, tmp_path):
        write_casme2(tmp_path)
        differences = Reading(Casme2, tmp_path, "megc2019").report.differences
        assert "class negative: 1 clips, expected 88" in differences
        assert "rows with emotion fear: 1, published 2" in differences
        assert "rows of subject sub17: 1, published 36" in differences

    def test_trees_are_preferred_in_their_order(self, tmp_path):
        cropped = write_casme2(tmp_path, tree="Cropped")
        write_casme2(tmp_path, tree="CASME2_RAW/CASME2-RAW")
        corpus = Reading(Casme2, tmp_path)
        assert "(raw, " in corpus.report.title
        assert corpus.told("not_read") == [f"{cropped} holds clips too; --variant cropped reads it"]
        assert Reading(Casme2, tmp_path, "cropped").report.root == cropped
        with pytest.raises(CorpusError, match=r"no CASME II \(selected\) in .*found: (raw|cropped) in "):
            Reading(Casme2, tmp_path, "selected_5class")

    def test_a_csv_beside_the_tree(self, tmp_path):
        root = write_casme2(tmp_path / "inside")
        (tmp_path / "inside" / "CASME2-coding-20140508.xlsx").unlink()
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in (CASME2_HEADER, *CASME2_ROWS)]
        (tmp_path / "CASME2-coding-20190701.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
        corpus = Reading(Casme2, tmp_path / "inside", "7class")
        assert corpus.report.annotation.name == "CASME2-coding-20190701.csv"
        assert len(corpus.records) == 10
        assert len(Reading(Casme2, root, "7class").records) == 10

    def test_missing_frames(self, tmp_path):
        root = write_casme2(tmp_path, tree="Cropped")
        for number in (50, 66):
            (root / "sub09" / "EP09f" / f"reg_img{number}.jpg").unlink()
        corpus = Reading(Casme2, tmp_path)
        record = corpus.by_id["sub09_EP09f"]
        assert record.frame_numbers == (46, 47, 48, 49, 49, *range(51, 66))
        (missing,) = corpus.told("frames_missing")
        assert missing.startswith("sub09_EP09f lacks 2 of its frames 46 to 66 in ")

    def test_files_that_were_numbered_anew(self, tmp_path):
        root = write_casme2(tmp_path)
        shutil.rmtree(root / "sub09" / "EP09f")
        write_frames(root / "sub09" / "EP09f", range(1, 22), "img{:03d}.jpg")
        corpus = Reading(Casme2, tmp_path)
        assert len(corpus.by_id["sub09_EP09f"].frames) == 21
        assert any("files are numbered 1 to 21 instead of 46 to 66" in each for each in corpus.told("repairs"))

    def test_frames_that_do_not_cover_the_clip(self, tmp_path):
        root = write_casme2(tmp_path)
        for number in range(52, 67):
            (root / "sub09" / "EP09f" / f"img{number}.jpg").unlink()
        corpus = Reading(Casme2, tmp_path)
        (unusable,) = corpus.unusable.values()
        assert unusable.reason is Reason.FEW_FRAMES
        reason = unusable.detail
        assert reason.startswith("CASME2-coding-20140508.xlsx, sheet Sheet1, row 8 says frames 46 to 66; ")
        assert "EP09f has 6 of these 21 (it holds 46 to 51)" in reason

    def test_a_row_without_a_folder(self, tmp_path):
        root = write_casme2(tmp_path)
        shutil.rmtree(root / "sub09" / "EP09f")
        corpus = Reading(Casme2, tmp_path)
        place = "CASME2-coding-20140508.xlsx, sheet Sheet1, row 8"
        assert corpus.told("rows_without_folder") == [f"sub09_EP09f: no folder for {place}"]
        assert corpus.unusable["sub09_EP09f"].reason is Reason.NO_FOLDER

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (
                casme2_row(9, "EP09f", onset="46a"),
                r"row 2, cell D2 \(Onset\) holds '46a'; expected a frame number",
            ),
            (casme2_row(9, "EP09f", offset=66.5), r"cell F2 \(Offset\) holds '66.5'; expected a frame number"),
            (casme2_row(9, "EP09f", offset=-3), r"cell F2 \(Offset\) holds '-3'; expected a frame number"),
            (casme2_row(9, "../../etc"), r"cell B2 \(Filename\) holds '../../etc'; expected the name of a clip"),
            (casme2_row(9, "EP09f", onset=70), r"row 2 says frames 70 to 66, the wrong way round"),
            (casme2_row(9, "EP09f", offset=10**9), r"row 2 says frames 46 to 1000000000, which is longer than any"),
            (casme2_row(9, "EP09f", offset=""), None),
            (casme2_row(9, "EP09f", apex=900), None),
        ],
    )
    def test_a_row_that_is_wrong_costs_its_clip_at_most(self, tmp_path, row, message):
        write_casme2(tmp_path, [casme2_row(1, "EP02_01f"), casme2_row(9, "EP09f")])
        write_book(
            tmp_path / "CASME2-coding-20140508.xlsx", {"Sheet1": [CASME2_HEADER, row, casme2_row(1, "EP02_01f")]}
        )
        corpus = Reading(Casme2, tmp_path)
        assert "sub01_EP02_01f" in corpus.by_id
        if message is None:
            assert corpus.by_id["sub09_EP09f"].offset == 20
            assert len(corpus.told("repairs", "apex_out_of_range")) == 1
        else:
            assert "sub09_EP09f" not in corpus.by_id
            assert any(re.search(message, each) for each in corpus.told("unusable"))

    def test_the_folder_of_a_row_that_is_wrong_is_not_without_a_row(self, tmp_path):
        rows = [casme2_row(1, "EP02_01f"), casme2_row(9, "EP09f")]
        root = write_casme2(tmp_path, rows)
        write_book(
            tmp_path / "CASME2-coding-20140508.xlsx",
            {"Sheet1": [CASME2_HEADER, rows[0], casme2_row(9, "EP09f", onset="46a")]},
        )
        corpus = Reading(Casme2, tmp_path)
        assert len(corpus.told("unusable")) == 1
        assert str(root / "sub09" / "EP09f") not in " ".join(corpus.told("folders_without_row"))

    def test_a_subject_that_is_no_number(self, tmp_path):
        write_casme2(tmp_path, [casme2_row(1, "EP02_01f")])
        rows = [casme2_row(1, "EP02_01f"), ("who?", *casme2_row(1, "EP02_02")[1:])]
        write_book(tmp_path / "CASME2-coding-20140508.xlsx", {"Sheet1": [CASME2_HEADER, *rows]})
        (sentence,) = Reading(Casme2, tmp_path).told("unusable")
        assert "row 3, cell A3 (Subject) holds 'who?'; expected the number of a subject" in sentence

    def test_a_clip_that_is_annotated_twice(self, tmp_path):
        write_casme2(tmp_path, [casme2_row(1, "EP02_01f"), casme2_row(1, "EP02_01f", emotion="disgust")])
        corpus = Reading(Casme2, tmp_path)
        assert [corpus.class_of[record.clip_id] for record in corpus.records] == ["positive"]
        (sentence,) = corpus.told("unusable")
        told = (
            "row 3: clip sub01_EP02_01f is listed twice with conflicting labels (emotion 'happiness' and 'disgust'); "
        )
        assert f"{told}CASME2-coding-20140508.xlsx, sheet Sheet1, row 2 is used" in sentence

    def test_links_in_circles_are_harmless(self, tmp_path):
        root = write_casme2(tmp_path)
        for place in (root, root / "sub01", root / "sub01" / "EP02_01f"):
            (place / "loop").symlink_to(tmp_path)
            (place / place.name).symlink_to(place)
        (root / "self").symlink_to(root / "self")
        assert len(Reading(Casme2, tmp_path, "7class").records) == 10

    def test_no_annotation(self, tmp_path):
        root = write_casme2(tmp_path)
        (tmp_path / "CASME2-coding-20140508.xlsx").unlink()
        with pytest.raises(CorpusError, match=r"its annotation is not there: looked for CASME2-coding-20140508\.xlsx"):
            Reading(Casme2, root)

    def test_objective_classes_are_needed_for_their_schemes_only(self, tmp_path):
        write_casme2(tmp_path)
        (tmp_path / "CASME2-ObjectiveClasses.xlsx").unlink()
        assert len(Reading(Casme2, tmp_path).records) == 7
        with pytest.raises(CorpusError, match=r"looked for CASME2-ObjectiveClasses\.xlsx"):
            Reading(Casme2, tmp_path, "objective")

    def test_an_annotation_of_another_name(self, tmp_path):
        write_casme2(tmp_path, book="labels of ours.xlsx")
        write_book(tmp_path / "a list.xlsx", {"Sheet1": [("Name", "Age"), ("x", 3)]})
        assert Reading(Casme2, tmp_path).report.annotation.name == "labels of ours.xlsx"

    def test_no_corpus(self, tmp_path):
        with pytest.raises(CorpusError, match=r"no CASME II in .*found: nothing, the folder is empty"):
            Reading(Casme2, tmp_path)
        with pytest.raises(CorpusError, match=r"nowhere does not exist; expected the folder that CASME II was unp"):
            Reading(Casme2, tmp_path / "nowhere")

    def test_a_surrogate_is_held_against_its_own_annotation(self, tmp_path):
        root = write_casme2(tmp_path / "CASME2")
        marker = {"surrogate": True, "corpus": "casme2", "seed": 3, "clips": {}}
        (tmp_path / "CASME2" / "SURROGATE.json").write_text(json.dumps(marker))
        for given in (tmp_path, root):
            corpus = Reading(Casme2, given)
            assert corpus.provenance == "surrogate"
            assert corpus.told("counts") == []
        shutil.rmtree(root / "sub09" / "EP09f")
        assert Reading(Casme2, tmp_path).told("counts") == ["class surprise: 1 clips, expected 2"]


class TestSamm:
    @pytest.mark.parametrize("tree", ["SAMM", "SAMM/SAMM", "SAMM_CROP", "daten/SAMM_Cropped"])
    @pytest.mark.parametrize("preamble", [13, 10])
    @pytest.mark.parametrize("stored", [True, False])
    def test_every_tree_gives_the_same_clips(self, tmp_path, tree, preamble, stored):
        write_samm(tmp_path, tree=tree, preamble=preamble, stored=stored)
        corpus = Reading(Samm, tmp_path, "8class")
        assert [record.clip_id for record in corpus.records] == [row[1] for row in SAMM_ROWS]
        records = corpus.by_id
        assert (records["006_1_2"].subject, corpus.class_of["006_1_2"]) == ("006", "anger")
        assert records["006_1_3"].frame_numbers == tuple(range(9_990, 10_011))
        assert records["013_1_12"].frames[0].name == "013_0083.jpg"
        assert records["028_4_1"].apex == 20
        (sentence,) = corpus.told("apex_out_of_range")
        assert f"row {preamble + 6}): apex 900 is not within onset 500 to offset 540" in sentence
        assert corpus.told("unusable", "rows_without_folder", "folders_without_row", "other", "frames_missing") == []

    @pytest.mark.parametrize(
        ("variant", "counts"),
        [
            ("3class", {"negative": 2, "positive": 1, "surprise": 1}),
            ("megc2019", {"negative": 2, "positive": 1, "surprise": 1}),
            ("5class", {"anger": 1, "contempt": 1, "happiness": 1, "other": 1, "surprise": 1}),
            ("7class", {"anger": 1, "contempt": 1, "happiness": 1, "surprise": 1}),
            ("objective7", {"VII": 5}),
        ],
    )
    def test_schemes(self, tmp_path, variant, counts):
        write_samm(tmp_path)
        assert Reading(Samm, tmp_path, variant).report.by_class == counts

    def test_the_published_counts_are_those_of_the_schemes(self):
        assert sum(Samm.published.by_label.values()) == sum(Samm.published.by_subject.values()) == 159
        totals = {name: sum(scheme.by_class.values()) for name, scheme in Samm.schemes.items()}
        assert (totals["3class"], totals["megc2019"], totals["5class"], totals["7class"]) == (133, 133, 136, 133)
        assert (totals["objective"], totals["objective7"], totals["8class"]) == (68, 159, 159)

    def test_the_annotation_beside_the_tree(self, tmp_path):
        root = write_samm(tmp_path, tree="SAMM")
        assert len(Reading(Samm, root).records) == 4
        shutil.move(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", root)
        assert len(Reading(Samm, root).records) == 4

    def test_an_offset_that_is_known_to_be_wrong(self, tmp_path):
        root = write_samm(tmp_path, [samm_row("013_1_9", 5700, 5710, 5793, "Anger")])
        for number in range(5740, 5794):
            (root / "013" / "013_1_9" / f"013_{number:05d}.jpg").unlink()
        corpus = Reading(Samm, tmp_path)
        assert corpus.records[0].frame_numbers[-1] == 5739
        assert corpus.told("frames_missing") == []
        assert "offset 5793 is known to be wrong; it is 5739" in corpus.told("repairs")[0]

    def test_a_column_is_missing(self, tmp_path):
        write_samm(tmp_path)
        rows = [
            ("Subject", "Filename", "Onset Frame", "Apex Frame", "Estimated Emotion"),
            ("006", "006_1_2", 1, 2, "x"),
        ]
        write_book(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": rows})
        with pytest.raises(CorpusError, match=r"v2\.xlsx, sheet MICRO_ONLY, row 1 .*lacks the column OffsetFrame"):
            Reading(Samm, tmp_path)

    def test_the_sheet_is_missing(self, tmp_path):
        write_samm(tmp_path)
        write_book(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", {"Notes": [("nothing",)], "More": []})
        with pytest.raises(CorpusError, match=r"v2\.xlsx: no sheet has a header with the cell Sub.*are Notes, More"):
            Reading(Samm, tmp_path)


class TestCasmeSquared:
    @pytest.mark.parametrize(
        ("tree", "layout"),
        [
            ("selectedpic", "selected"),
            ("selectedpic/selectedpic", "selected"),
            ("cropped/cropped", "cropped"),
            ("rawpic/rawpic", "raw"),
        ],
    )
    def test_every_tree_gives_the_same_clips(self, tmp_path, tree, layout):
        write_casme_squared(tmp_path / "CAS(ME)^2", tree=tree)
        corpus = Reading(CasmeSquared, tmp_path)
        assert corpus.report.title == f"CAS(ME)^2 ({layout}, 3class)"
        records = corpus.by_id
        assert len(records) == len(CASME_SQUARED_ROWS)
        assert records["s19_happy4_1"].frame_numbers == tuple(range(995, 1011))
        assert records["s19_happy4_1"].apex == 5
        # Without an offset: the folder's last file; of a whole video, the apex.
        assert records["s19_happy4_2"].frame_numbers[-1] == (110 if layout == "raw" else 105)
        assert records["s23_disgust1_1"].apex == 10
        assert (records["s27_disgust1_5"].apex, records["s27_disgust1_5"].offset) == (20, 20)
        assert corpus.told("unusable", "rows_without_folder") == []
        if layout == "raw":
            assert any("23_0502funnyerrors is named after another subject" in each for each in corpus.told("other"))
            (video,) = corpus.told("folders_without_row")
            assert "s19/23_0502funnyerrors is in no row of the annotation" in video

    @pytest.mark.parametrize(
        ("variant", "counts"),
        [
            ("stimulus", {"anger": 2, "disgust": 2, "happy": 3}),
            ("stimulus_micro", {"anger": 1, "happy": 1}),
            ("stimulus_macro", {"anger": 1, "disgust": 2, "happy": 2}),
            ("self_report", {"anger": 1, "disgust": 3, "happy": 2}),
            ("coarse", {"negative": 3, "positive": 2, "surprise": 1}),
            ("coarse4", {"negative": 3, "others": 1, "positive": 2, "surprise": 1}),
        ],
    )
    def test_schemes(self, tmp_path, variant, counts):
        write_casme_squared(tmp_path)
        assert Reading(CasmeSquared, tmp_path, variant).report.by_class == counts

    def test_the_published_counts_are_those_of_the_schemes(self):
        published = CasmeSquared.published
        assert sum(published.by_label.values()) == sum(published.by_subject.values()) == 357
        totals = {name: sum(scheme.by_class.values()) for name, scheme in CasmeSquared.schemes.items()}
        assert (totals["stimulus"], totals["stimulus_micro"], totals["stimulus_macro"]) == (357, 57, 300)
        assert (totals["self_report"], totals["self_report_micro"]) == (276, 39)
        assert (totals["coarse4"], totals["coarse4_micro"], totals["coarse4_macro"]) == (357, 57, 300)
        assert (totals["coarse"], totals["coarse_micro"], totals["coarse_macro"]) == (275, 38, 237)

    def test_apex_and_offset_swapped(self, tmp_path):
        root = write_casme_squared(
            tmp_path, [(1, "anger1_1", 50, 75, 70, "9", "negative", "macro-expression", "anger")]
        )
        write_frames(root / "s15" / "anger1_1", range(71, 76))
        corpus = Reading(CasmeSquared, tmp_path)
        assert (corpus.records[0].apex, corpus.records[0].offset) == (20, 25)
        assert "the folder ends with it, so the two were swapped" in corpus.told("apex_out_of_range")[0]

    def test_a_missing_cropped_clip(self, tmp_path):
        root = write_casme_squared(tmp_path, tree="cropped")
        shutil.rmtree(root / "15" / "anger1_1")
        corpus = Reading(CasmeSquared, tmp_path)
        place = "CAS(ME)^2code_final.xlsx, sheet CASFEcode_final, row 1"
        assert corpus.told("rows_without_folder") == [f"s15_anger1_1: no folder for {place}"]

    @pytest.mark.parametrize("has_header", [True, False])
    def test_a_csv_with_or_without_a_header(self, tmp_path, has_header):
        write_casme_squared(tmp_path)
        (tmp_path / "CAS(ME)^2code_final.xlsx").unlink()
        header = ["Subject,Clip,Onset,Apex,Offset,AU,Emotion,Type,Self report"] * has_header
        lines = [*header, *(",".join(map(str, row)) for row in CASME_SQUARED_ROWS)]
        (tmp_path / "CAS(ME)^2code_final(Updated).csv").write_text("\n".join(lines))
        corpus = Reading(CasmeSquared, tmp_path)
        assert len(corpus.records) == len(CASME_SQUARED_ROWS)
        assert corpus.told("unusable") == []

    def test_rules_of_the_annotation_count(self, tmp_path):
        root = write_casme_squared(tmp_path, [(1, "anger1_1", 50, 55, 60, 4, "negative", "micro-expression", "anger")])
        (root / "s15").rename(root / "s77")
        path = tmp_path / "CAS(ME)^2code_final.xlsx"
        sheets = {
            "CASMEcode_final": [(1, "anger1_1", 50, 55, 60, 4, "negative", "micro-expression", "anger")],
            "naming rule1": [(77, "s77", 1)] * 3,
            "naming rule2": [("0401", "anger1")],
        }
        write_book(path, sheets)
        assert [record.clip_id for record in Reading(CasmeSquared, tmp_path).records] == ["s77_anger1_1"]

    def test_no_sheet_of_clips(self, tmp_path):
        write_casme_squared(tmp_path)
        write_book(tmp_path / "CAS(ME)^2code_final.xlsx", {"naming rule1": [(15, "s15", 1)]})
        with pytest.raises(CorpusError, match=r"no sheet has rows of subject, clip .*its sheets are naming rule1"):
            Reading(CasmeSquared, tmp_path)


class TestSmicExtended:
    @pytest.mark.parametrize("stored", [True, False])
    def test_expressions_within_recordings(self, tmp_path, stored):
        write_smic_e(tmp_path, stored=stored)
        corpus = Reading(Smic, tmp_path, "hs_e")
        records = corpus.by_id
        assert list(records) == ["s3_po_01", "s20_ne_01"]
        assert records["s20_ne_01"].frame_numbers == tuple(range(40400, 40430))
        assert records["s20_ne_01"].apex is None
        assert records["s3_po_01"].subject == "s3"
        (garbage,) = corpus.told("repairs")
        assert "s20_ne_01, expression 3" in garbage
        assert "15200 to 40200 is not within the recording, frames 40200 to 40439" in garbage
        (outside,) = corpus.told("unusable")
        assert "sheet HS, row 4, cell D4 (OnsetF): 95000 to 95019 is not within the recording" in outside

    def test_the_slow_camera_is_in_the_same_workbook(self, tmp_path):
        write_smic_e(tmp_path)
        corpus = Reading(Smic, tmp_path, "vis_e")
        assert [record.clip_id for record in corpus.records] == ["s20_ne_01"]
        assert corpus.records[0].frame_numbers == tuple(range(6300, 6310))
        with pytest.raises(CorpusError, match=r"no SMIC-E \(nir_e\)"):
            Reading(Smic, tmp_path, "nir_e")

    def test_a_text_for_the_first_frame(self, tmp_path):
        hs = tmp_path / "SMIC-HS-E"
        write_frames(hs / "s03" / "s3_ne_20", range(426_600, 426_700), "image{:06d}.jpg")
        header = ("Subject", "Filename", None, "OnsetF", "OffsetF", "FirstF", "LastF", "TotalMF1", "Emotion")
        row = (3, "s3_ne_20", None, 426_650, None, "MISSING <-426679", None, 20, "negative")
        write_book(tmp_path / "SMIC-HS-E_annotation_orig.xlsx", {"HS": [header, row]})
        assert Reading(Smic, tmp_path, "hs_e").records[0].frame_numbers == tuple(range(426_650, 426_670))


@pytest.mark.parametrize("variant", ["vis", "nir"])
@pytest.mark.parametrize("name", ["{:05d}.bmp", "reg_{:05d}.bmp", "xxx {:05d}.bmp"])
def test_slow_cameras_of_smic(tmp_path, variant, name):
    camera = tmp_path / "SMIC_all_raw" / variant.upper()
    write_frames(camera / "s11" / "micro" / "negative" / "s11_ne_01", range(98, 106), name)
    write_frames(camera / "s11" / "non_micro" / "s11_n1", range(98, 106), name)
    corpus = Reading(Smic, tmp_path, variant)
    assert corpus.records[0].frame_numbers == tuple(range(98, 106))
    assert corpus.report.title == f"SMIC ({variant}, raw, 3class)"
    assert sum(corpus.report.expected_by_class.values()) == sum(corpus.report.expected_by_subject.values()) == 71
