"""The surrogates of CASME II, SAMM and CAS(ME)^2: trees, counts, spreadsheets, quirks."""

import collections
import csv
import functools
import hashlib
import io
import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from datasets.surrogate.corpus import CORPORA, render_corpus
from datasets.surrogate.emotions import EMOTION_SETS, action_unit_cell, objective_class
from datasets.surrogate.plan import CorpusOptions, CorpusPlan
from datasets.surrogate.writer import write_corpus
from mer_jax.errors import ConfigError, CorpusError

RELEASES = ("casme2", "samm", "casme_squared")
TINY = {"num_subjects": 2, "num_clips": 4, "seed": 3, "scale": 0.2}
FRAMES = {
    "casme2": (
        r"CASME2_RAW_selected/(CASME2_RAW_selected/)?sub\d\d/EP[\df_]+/img\d+\.jpg"
        r"|Cropped/sub\d\d/EP[\df_]+/reg_img\d+\.jpg"
        r"|CASME2_RAW/CASME2-RAW/sub\d\d/EP[\df_]+/img\d+\.jpg"
    ),
    "samm": r"(SAMM/)?(\d{3})/\2_\d_\d{1,2}/\2_\d{4,5}\.jpg",
    "casme_squared": (
        r"(rawpic/)+s\d\d/\d\d_(0101disgustingteeth|0102eatingworms|0401girlcrashing|0402beatingpregnantwoman"
        r"|0502funnyerrors|0503unnyfarting|0505funnyinnovations|0507climbingthewall|0508funnydunkey)/img\d{3,4}\.jpg"
        r"|(selectedpic/)+s\d\d/(anger[12]|disgust[12]|happy[1-5])_\d+/img\d{3,4}\.jpg"
        r"|(cropped/)+\d\d/(anger[12]|disgust[12]|happy[1-5])_\d+/img\d{3,4}\.jpg"
    ),
}


def silent(_: str) -> None:
    pass


def make_plan(corpus: str, **options) -> CorpusPlan:
    release = CORPORA[corpus]
    full = {"num_subjects": release.num_subjects, "num_clips": release.num_clips}
    return release.plan(CorpusOptions(**{**full, **options}))


def load(plan: CorpusPlan, path: str, *, values: bool = True):
    return openpyxl.load_workbook(io.BytesIO(plan.documents[path]), data_only=values)


def all_clips(plan: CorpusPlan) -> list:
    return [clip for subject in plan.subjects for clip in subject.clips]


def count(values) -> dict:
    return dict(collections.Counter(values))


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def plans() -> dict[tuple[str, bool], CorpusPlan]:
    """The whole corpora, planned only."""
    return {(corpus, quirks): make_plan(corpus, quirks=quirks) for corpus in RELEASES for quirks in (False, True)}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Callable[[str, bool], Path]:
    """Renders a tiny corpus, each once."""

    @functools.cache
    def render(corpus: str, quirks: bool = False) -> Path:
        folder = tmp_path_factory.mktemp(corpus)
        return render_corpus(folder, corpus=corpus, quirks=quirks, **TINY, workers=1, log=silent)

    return render


with_and_without_quirks = pytest.mark.parametrize("quirks", [False, True], ids=["clean", "quirks"])
every_release = pytest.mark.parametrize("corpus", RELEASES)


# --------------------------------------------------------------------------------------------------- counts


def test_casme2_has_the_counts_of_the_release(plans):
    plan = plans["casme2", False]
    rows = list(load(plan, "CASME2-coding-20140508.xlsx")["Sheet1"].iter_rows(min_row=2, values_only=True))
    assert count(row[8] for row in rows) == {
        "others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2,
    }  # fmt: skip
    sizes = [9, 13, 7, 5, 19, 5, 9, 3, 14, 14, 10, 12, 8, 4, 3, 4, 36, 3, 16, 11, 2, 2, 12, 10, 7, 17]
    assert count(row[0] for row in rows) == {f"{number:02d}": size for number, size in enumerate(sizes, start=1)}
    three = {"disgust", "repression", "happiness", "surprise"}
    assert {row[0] for row in rows} - {row[0] for row in rows if row[8] in three} == {"10", "18"}
    assert {row[0] for row in rows if row[8] == "fear"} == {"09", "10"}
    assert {row[0] for row in rows if row[8] == "sadness"} == {"17", "19", "24", "26"}
    objective = list(load(plan, "CASME2-ObjectiveClasses.xlsx")["Sheet1"].iter_rows(min_row=2, values_only=True))
    assert [row[:2] for row in objective] == [row[:2] for row in rows]
    assert count(row[2] for row in objective) == {1: 25, 2: 15, 3: 99, 4: 26, 5: 20, 6: 1, 7: 69}
    lengths = np.array([row[5] - row[3] + 1 for row in rows])
    assert (lengths.min() >= 24, lengths.max() <= 141) == (True, True)
    assert 60 < lengths.mean() < 75  # the release: 67.2
    assert all(4 <= row[3] < row[4] < row[5] <= 446 for row in rows)
    names = {(row[0], row[1]) for row in rows}
    assert len(names) == 255
    assert all(re.fullmatch(r"EP\d\d_\d\df?", name) for _, name in names)


def test_samm_has_the_counts_of_the_release(plans):
    rows = samm_rows(plans["samm", False])
    assert count(row[9] for row in rows) == {
        "Anger": 57, "Other": 26, "Happiness": 26, "Surprise": 15, "Contempt": 12, "Disgust": 9, "Fear": 8,
        "Sadness": 6,
    }  # fmt: skip
    assert count(row[0] for row in rows) == {
        "006": 11, "007": 10, "009": 4, "010": 4, "011": 20, "012": 3, "013": 6, "014": 11, "015": 3, "016": 5,
        "017": 6, "018": 4, "019": 3, "020": 9, "021": 2, "022": 5, "023": 1, "024": 1, "025": 4, "026": 13, "028": 3,
        "030": 3, "031": 1, "032": 6, "033": 5, "034": 3, "035": 9, "036": 1, "037": 3,
    }  # fmt: skip
    assert count(row[10] for row in rows) == {1: 24, 2: 13, 3: 20, 4: 8, 5: 3, 6: 7, 7: 84}
    assert count(row[2] for row in rows) == {1: 27, 2: 18, 3: 31, 4: 21, 5: 19, 6: 17, 7: 26}
    assert sum(row[11] is not None for row in rows) == 61
    subjects = {row[0] for row in rows}
    assert subjects - {row[0] for row in rows if row[9] != "Other"} == {"025"}  # so 28 in three classes
    five = {"Anger", "Other", "Happiness", "Surprise", "Contempt"}
    assert len({row[0] for row in rows if row[9] in five}) == 27
    assert all(30 <= row[5] - row[3] + 1 <= 101 for row in rows)
    assert all(83 <= row[3] < row[4] < row[5] <= 12_349 for row in rows)


def samm_rows(plan: CorpusPlan) -> list[tuple]:
    sheet = load(plan, "SAMM_Micro_FACS_Codes_v2.xlsx")["MICRO_ONLY"]
    return list(sheet.iter_rows(min_row=15, values_only=True))


def test_casme_squared_has_the_counts_of_the_release(plans):
    plan = plans["casme_squared", False]
    rows = list(load(plan, "CAS(ME)^2code_final.xlsx")["CASFEcode_final"].iter_rows(values_only=True))
    micro, macro = ([row for row in rows if row[7] == f"{kind}-expression"] for kind in ("micro", "macro"))
    sizes = [17, 54, 5, 3, 2, 16, 11, 32, 9, 6, 43, 1, 19, 32, 54, 4, 3, 2, 4, 23, 12, 5]
    assert count(row[0] for row in rows) == dict(enumerate(sizes, start=1))
    assert count(row[0] for row in micro) == {
        1: 2, 2: 8, 3: 1, 7: 3, 8: 8, 9: 4, 11: 11, 12: 1, 13: 2, 14: 6, 15: 6, 18: 2, 20: 2, 21: 1,
    }  # fmt: skip
    assert count(row[8] for row in micro) == {
        "disgust": 16, "happiness": 15, "surprise": 10, "anger": 8, "fear": 4, "pain": 2, "helpless": 1, "sadness": 1,
    }  # fmt: skip
    assert count(row[8] for row in macro) == {
        "happiness": 132, "disgust": 58, "anger": 47, "surprise": 26, "fear": 17, "sadness": 8, "helpless": 4,
        "pain": 3, "confused": 3, "sympathy": 2,
    }  # fmt: skip
    assert count(row[6] for row in micro) == {"negative": 21, "others": 19, "surprise": 9, "positive": 8}
    assert count(row[6] for row in macro) == {"positive": 116, "negative": 105, "others": 63, "surprise": 16}
    assert count(re.match("[a-z]+", row[1])[0] for row in micro) == {"anger": 17, "disgust": 18, "happy": 22}
    assert count(row[1].partition("_")[0] for row in rows) == {
        "anger1": 54, "anger2": 48, "disgust1": 43, "disgust2": 45, "happy1": 54, "happy2": 26, "happy3": 33,
        "happy4": 46, "happy5": 8,
    }  # fmt: skip
    assert all(9 <= row[4] - row[2] + 1 <= 17 for row in micro)
    assert all(6 <= row[4] - row[2] + 1 <= 118 for row in macro)
    assert all(34 <= row[2] < row[3] < row[4] for row in rows)
    takes = collections.defaultdict(list)
    for row in rows:
        film, _, take = row[1].partition("_")
        takes[row[0], film].append((int(take), row[2], row[4]))
    for each in takes.values():
        assert [take for take, _, _ in each] == list(range(1, len(each) + 1))
        assert all(before[2] < after[1] for before, after in itertools.pairwise(each))


def test_labels_agree_with_what_was_felt_as_far_as_the_counts_allow(plans):
    """Otherwise no network could learn the three classes by the film that was shown."""
    notes = [clip.annotation for clip in all_clips(plans["casme_squared", False])]
    films = {"happiness": "happy", "disgust": "disgust", "anger": "anger"}
    assert all(note["stimulus"] == films.get(note["self_report"], note["stimulus"]) for note in notes)


@every_release
@pytest.mark.parametrize(("subjects", "clips"), [(1, 1), (2, 9), (5, 60), (32, 40)])
def test_other_sizes_keep_their_numbers(corpus, subjects, clips):
    plan = make_plan(corpus, num_subjects=subjects, num_clips=clips, quirks=True)
    sizes = [sum(clip.is_annotated for clip in subject.clips) for subject in plan.subjects]
    assert (len(sizes), sum(sizes), min(sizes) >= 1) == (subjects, clips, True)


@every_release
def test_faces_show_what_coders_write(plans, corpus):
    clips = all_clips(plans[corpus, False])
    for clip in clips:
        written = re.findall(r"\d+", clip.annotation["action_units"])
        assert tuple(written) == clip.spec.action_units
    differing = np.mean([clip.spec.shown_class != clip.spec.class_name for clip in clips])
    assert differing < 0.1  # label noise of the default difficulty: 3 %
    if corpus != "casme_squared":
        agreeing = np.mean([objective_class(clip.spec.action_units) == clip.annotation["objective"] for clip in clips])
        assert agreeing > 0.5  # the published counts are not those of our action units


def test_units_of_one_side_are_written_so(plans):
    written = {str(clip.annotation["action_units"]) for clip in all_clips(plans["casme2", False])}
    assert any(re.search(r"[LR]\d", units) for units in written)
    clip = next(
        clip for clip in all_clips(plans["casme2", False]) if re.fullmatch(r"L\d+", str(action_unit_cell(clip.spec)))
    )
    (unit,) = clip.spec.action_units
    right, left = (clip.spec.activations[unit, side][clip.spec.apex] for side in (0, 1))
    assert left > 2 * right


def test_emotion_sets_are_distributions_of_known_units():
    for emotion, sets in EMOTION_SETS.items():
        assert sum(probability for _, probability in sets) == pytest.approx(1), emotion


def test_macro_expressions_are_larger_and_null_has_neither(plans):
    def median(plan: CorpusPlan, kind: str) -> float:
        clips = [clip for clip in all_clips(plan) if clip.annotation["kind"] == kind]
        return float(np.median([max(clip.spec.peaks.values()) for clip in clips]))

    plan = plans["casme_squared", False]
    assert median(plan, "macro") > 2 * median(plan, "micro") > 1
    assert median(make_plan("casme_squared", num_clips=40, difficulty="null"), "macro") == 0


def test_no_two_corpora_share_a_person(plans):
    faces = [
        subject.subject.seed
        for corpus in RELEASES
        for subject in plans[corpus, False].subjects
    ] + [subject.subject.seed for subject in make_plan("smic").subjects]  # fmt: skip
    assert len(set(faces)) == 26 + 29 + 22 + 16


# --------------------------------------------------------------------------------------------------- spreadsheets


def test_casme2_workbooks_are_built_like_the_release(plans):
    book = load(plans["casme2", False], "CASME2-coding-20140508.xlsx")
    assert book.sheetnames == ["Sheet1", "Sheet2", "Sheet3"]
    sheet = book["Sheet1"]
    assert sheet.dimensions == "A1:I256"
    assert [cell.value for cell in sheet[1]] == [
        "Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
        "Estimated Emotion",
    ]  # fmt: skip
    assert {cell.number_format for cell in sheet["A"][1:]} == {"@"}
    assert {cell.data_type for cell in sheet["A"]} == {"s"}
    assert all(cell.value is None for column in "CG" for cell in sheet[column])
    for column in "DEF":
        assert {type(cell.value) for cell in sheet[column][1:]} == {int}
    assert {type(cell.value) for cell in sheet["H"][1:]} == {int, str}
    assert book["Sheet2"].max_row == book["Sheet3"].max_row == 1
    objective = load(plans["casme2", False], "CASME2-ObjectiveClasses.xlsx")
    assert objective.sheetnames == ["Sheet1", "Sheet2"]
    assert [cell.value for cell in objective["Sheet1"][1]] == ["Subject", "Filename", "Objective Class"]
    assert objective["Sheet1"]["A2"].data_type == "s"
    assert objective["Sheet2"].dimensions.endswith("L10")
    assert objective["Sheet2"]["A1"].value != "Subject"


def test_samm_workbook_is_built_like_the_release(plans):
    book = load(plans["samm", False], "SAMM_Micro_FACS_Codes_v2.xlsx")
    assert book.sheetnames == ["MICRO_ONLY"]
    sheet = book["MICRO_ONLY"]
    assert sheet.dimensions == "A1:L173"
    assert [cell.value for cell in sheet[14]] == [
        "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
        "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
    ]  # fmt: skip
    assert sheet["A1"].value == "SAMM Dataset - Master FACS Codes"
    assert not any(cell.value == "Subject" for row in sheet.iter_rows(max_row=13) for cell in row)
    assert {(cell.data_type, cell.number_format) for cell in sheet["A"][14:]} == {("s", "@")}
    assert {cell.value for cell in sheet["H"][14:]} == {"Micro - 1/2"}
    formulas = load(plans["samm", False], "SAMM_Micro_FACS_Codes_v2.xlsx", values=False)["MICRO_ONLY"]
    for row in range(15, 174):
        assert formulas[f"G{row}"].value == f"=SUM(F{row}-D{row})+1"
        assert sheet[f"G{row}"].value == sheet[f"F{row}"].value - sheet[f"D{row}"].value + 1


def test_casme_squared_workbook_is_built_like_the_release(plans):
    book = load(plans["casme_squared", False], "CAS(ME)^2code_final.xlsx")
    assert book.sheetnames == ["CASFEcode_final", "naming rule1", "naming rule2"]
    sheet = book["CASFEcode_final"]
    assert sheet.dimensions == "A1:I357"
    assert [type(cell.value) for cell in sheet[1]][:5] == [int, str, int, int, int]
    rule1 = list(book["naming rule1"].iter_rows(values_only=True))
    assert [row[2] for row in rule1] == [cell.value for cell in sheet["A"]]
    assert sorted(set(rule1))[:3] == [(15, "s15", 1), (16, "s16", 2), (19, "s19", 3)]
    assert sorted(set(rule1))[-1] == (40, "s40", 22)
    assert list(book["naming rule2"].iter_rows(values_only=True)) == [
        ("0101", "disgust1"), ("0102", "disgust2"), ("0401", "anger1"), ("0402", "anger2"), ("0502", "happy1"),
        ("0503", "happy2"), ("0505", "happy3"), ("0507", "happy4"), ("0508", "happy5"),
    ]  # fmt: skip
    assert {cell.number_format for cell in book["naming rule2"]["A"]} == {"@"}


# --------------------------------------------------------------------------------------------------- on the disk


@every_release
@with_and_without_quirks
def test_layout_is_that_of_the_release(rendered, corpus, quirks):
    root = rendered(corpus, quirks)
    assert root.name == {"casme2": "CASME2", "samm": "SAMM", "casme_squared": "CAS(ME)^2"}[corpus]
    frames = [path.relative_to(root).as_posix() for path in root.rglob("*.jpg") if not path.name.startswith(".")]
    assert frames
    assert not [frame for frame in frames if not re.fullmatch(FRAMES[corpus], frame)]
    assert [path.name for path in root.parent.iterdir()] == [root.name], "something temporary was left behind"
    others = {path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".jpg"}
    if not quirks:
        assert (
            others
            == {"SURROGATE.json", "SURROGATE.txt"}
            | {
                "casme2": {"CASME2-coding-20140508.xlsx", "CASME2-ObjectiveClasses.xlsx"},
                "samm": {"SAMM_Micro_FACS_Codes_v2.xlsx"},
                "casme_squared": {"CAS(ME)^2code_final.xlsx"},
            }[corpus]
        )
    else:
        assert {"Thumbs.db", ".DS_Store"} < others


@every_release
@with_and_without_quirks
def test_folders_hold_onset_to_offset_of_their_rows(rendered, corpus, quirks):
    root = rendered(corpus, quirks)
    marker = json.loads((root / "SURROGATE.json").read_text())
    assert (marker["corpus"], len(marker["clips"])) == (corpus, 4)
    for clip in marker["clips"].values():
        note, folder = clip["annotation"], root / clip["folder"]
        numbers = [int(re.findall(r"\d+", path.stem)[-1]) for path in folder.glob("[!.]*.jpg")]
        assert sorted(numbers) == list(range(note["onset_frame"], note["offset_frame"] + 1))
        assert note["apex_frame"] - note["onset_frame"] == clip["apex"]
        assert clip["offset"] == len(numbers) - 1


@every_release
def test_frames_are_pictures_of_the_size_and_kind_released(rendered, corpus):
    root = rendered(corpus)
    marker = json.loads((root / "SURROGATE.json").read_text())
    shapes = collections.defaultdict(set)
    for path in root.rglob("*.jpg"):
        if not path.name.startswith("."):
            shapes[path.relative_to(root).parts[0]].add(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape)
    assert marker["scale"] == 0.2
    if corpus == "samm":
        assert {shape for each in shapes.values() for shape in each} == {(130, 192)}  # gray; 650x960 in full
        return
    cropped = shapes.pop("Cropped" if corpus == "casme2" else "cropped")
    assert {shape for each in shapes.values() for shape in each} == {(96, 128, 3)}
    for height, width, channels in cropped:
        expected = (340, 280) if corpus == "casme2" else (240, 200)
        assert abs(height / 0.2 - expected[0]) < 12
        assert abs(width / 0.2 - expected[1]) < 12
        assert channels == 3
    assert corpus != "casme2" or len(cropped) > 1, "the size of registered faces varies by clip"


@with_and_without_quirks
def test_videos_run_from_frame_1_and_take_no_room(rendered, quirks):
    root = rendered("casme_squared", quirks)
    videos = [path for path in (root / "rawpic").rglob("*_0*") if path.is_dir()]
    for video in videos:
        numbers = sorted(int(path.stem[3:]) for path in video.iterdir())
        assert numbers == list(range(1, len(numbers) + 1))
    selected = {path.stat().st_ino for path in (root / "selectedpic").rglob("*.jpg")}
    frames = list((root / "rawpic").rglob("*.jpg"))
    assert {path.stat().st_ino for path in frames} <= selected
    if quirks:
        assert max(len(list(video.iterdir())) for video in videos) > 1000
        assert any(video.name == "23_0502funnyerrors" for video in videos)
    marker = json.loads((root / "SURROGATE.json").read_text())
    for clip in marker["clips"].values():
        folder = root / clip["folder"]
        codes = {"disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502",
                 "happy2": "0503", "happy3": "0505", "happy4": "0507", "happy5": "0508"}  # fmt: skip
        code = codes[folder.name.partition("_")[0]]
        (video,) = (each for each in videos if each.name.startswith(f"{clip['subject'][1:]}_{code}"))
        for path in folder.glob("[!.]*.jpg"):
            assert (video / path.name).read_bytes() == path.read_bytes()


def test_recordings_begin_before_the_onset_and_end_after_the_offset(rendered):
    root = rendered("casme2")
    for clip in json.loads((root / "SURROGATE.json").read_text())["clips"].values():
        selected, note = root / clip["folder"], clip["annotation"]
        recording = root / "CASME2_RAW/CASME2-RAW" / clip["subject"] / selected.name
        numbers = sorted(int(path.stem[3:]) for path in recording.iterdir())
        assert numbers == list(range(1, note["offset_frame"] + 21))
        for path in selected.iterdir():
            assert (recording / path.name).stat().st_ino == path.stat().st_ino


def test_registered_faces_keep_the_eyes_in_place(tmp_path):
    """The eyes, the darkest part of that band, are where they should be in every clip."""
    root = render_corpus(
        tmp_path, corpus="casme2", num_subjects=2, num_clips=3, scale=0.5, difficulty="null", workers=1, log=silent
    )
    for folder in (root / "Cropped").glob("*/*"):
        face = cv2.imread(str(min(folder.iterdir())), cv2.IMREAD_GRAYSCALE).astype(float)
        height, width = face.shape
        band = face[round(0.33 * height) : round(0.41 * height)]
        for low, high, expected in ((0.2, 0.42, 0.31), (0.58, 0.8, 0.69)):
            columns = band[:, round(low * width) : round(high * width)].min(0)
            darkest = (columns.argmin() + round(low * width)) / width
            assert abs(darkest - expected) < 0.06


@every_release
def test_bytes_do_not_depend_on_the_number_of_workers(rendered, tmp_path, corpus):
    root = rendered(corpus, True)
    again = render_corpus(tmp_path, corpus=corpus, quirks=True, **TINY, workers=2, log=silent)
    assert digests(again) == digests(root)


def test_subject_cut_short_between_two_trees_is_rendered_again(rendered, tmp_path):
    plan = make_plan("casme2", **TINY)
    partial = tmp_path / ".CASME2.rendering"
    half = partial / plan.subjects[0].folders[0] / "EP01_01"
    half.mkdir(parents=True)
    (half / "img1.jpg").write_bytes(b"the first of two folders is there, the second is not")
    (partial / "SURROGATE.json").write_text(json.dumps(plan.marker(), indent=1))
    assert digests(write_corpus(plan, tmp_path, workers=1, log=silent)) == digests(rendered("casme2"))


def test_where_files_cannot_be_linked_they_are_copied(rendered, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    again = render_corpus(tmp_path, corpus="casme_squared", **TINY, workers=1, log=silent)
    assert digests(again) == digests(rendered("casme_squared"))
    assert {path.stat().st_nlink for path in again.rglob("*.jpg")} == {1}


def test_cropped_samm_shows_the_same_clips(rendered, tmp_path):
    root = render_corpus(tmp_path, corpus="samm_cropped", **TINY, workers=1, log=silent)
    assert root.name == "SAMM_CROP"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")}
    assert names == {path.relative_to(rendered("samm")).as_posix() for path in rendered("samm").rglob("*.jpg")}
    assert {cv2.imread(str(root / name), cv2.IMREAD_UNCHANGED).shape for name in names} == {(96, 80)}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"quirks": False}, r"other options \(quirks True instead of False\)"),
        ({"quirks": True, "scale": 0.3}, r"other options \(scale 0\.2 instead of 0\.3\)"),
        ({"quirks": True, "scale": 1.0}, r"other options \(scale 0\.2 instead of None\)"),
    ],
)
def test_finished_corpus_of_other_options_is_refused(rendered, changed, told):
    root = rendered("casme_squared", True)
    with pytest.raises(CorpusError, match=told):
        render_corpus(root.parent, corpus="casme_squared", **{**TINY, **changed}, log=silent)
    lines = []
    assert render_corpus(root.parent, corpus="casme_squared", quirks=True, **TINY, log=lines.append) == root
    assert "already rendered" in lines[0]


@every_release
def test_exact_frames_are_refused_where_the_release_has_none(tmp_path, corpus):
    with pytest.raises(ConfigError, match=r"exact frames are BMP, but .* is released as JPEG: leave --exact out"):
        render_corpus(tmp_path / "new", corpus=corpus, exact=True, log=silent)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("scale", [0.1, 1.5, float("nan")])
def test_wrong_scale_is_refused(tmp_path, scale):
    with pytest.raises(ConfigError, match=r"scale is .*; expected 0\.2 to 1\.0"):
        render_corpus(tmp_path / "new", corpus="samm", scale=scale, log=silent)


# --------------------------------------------------------------------------------------------------- quirks


@every_release
def test_quirks_are_said_in_the_marker(plans, corpus):
    assert "quirks" not in plans[corpus, False].marker()
    said = plans[corpus, True].marker()["quirks"]
    assert len(said) > 10
    assert len(set(said)) == len(said)


def test_casme2_quirks(plans):
    plan = plans["casme2", True]
    sheet = load(plan, "CASME2-coding-20140508.xlsx")["Sheet1"]
    rows = {(row[0], row[1]): row for row in sheet.iter_rows(min_row=2, values_only=True)}
    assert len(rows) == 255
    assert [key for key, row in rows.items() if row[4] == "/"] == [("04", "EP12_01f")]
    assert rows["04", "EP12_01f"][8] == "disgust"
    assert [key for key, row in rows.items() if row[4] == row[3]] == [("05", "EP09_05f")]
    assert rows["05", "EP09_05f"][8] in ("disgust", "repression")
    assert [key[0] for key, row in rows.items() if row[4] == row[5]] == ["05", "12", "20", "25"]
    irregular = {("03", "EP01_2"), ("03", "EP08_1"), ("09", "EP09f"), ("07", "EP06_02_01"), ("07", "EP06_02_02")}
    assert {key for key in rows if not re.fullmatch(r"EP\d\d_\d\df?", key[1])} == irregular
    folders = {tuple(clip.folders[0].folder.split("/sub")[1].split("/")) for clip in all_clips(plan)}
    assert folders - set(rows) == {("09", "EP02_02f"), ("24", "EP02_07")}
    assert set(rows) < folders
    lacking = [clip for clip in all_clips(plan) if None in clip.folders[1].file_names]
    assert [(clip.clip_id[:5], clip.folders[1].file_names.count(None)) for clip in lacking] == [("sub16", 1)]
    assert None not in lacking[0].folders[0].file_names
    assert any(row[3] <= 9 < row[5] for row in rows.values())
    assert any(row[3] <= 99 < row[5] for row in rows.values())
    assert max(count(name for _, name in rows).values()) > 1
    table = list(csv.reader(io.StringIO(plan.documents["CASME2-coding-20190701.csv"].decode())))
    assert len(table) == 256
    assert table[1][0] == "01"
    emotions = count(row[8] for row in rows.values())
    assert (emotions["disgust"], emotions["repression"]) == (63, 27)


def test_samm_quirks(plans):
    plan = plans["samm", True]
    assert {row[6] for row in samm_rows(plan)} == {None}, "stored values are there"
    formulas = load(plan, "SAMM_Micro_FACS_Codes_v2.xlsx", values=False)["MICRO_ONLY"]
    assert formulas["G15"].value == "=SUM(F15-D15)+1"
    truth = {clip.clip_id: clip.annotation for clip in all_clips(plan)}
    rows = samm_rows(plan)
    late = [row[0] for row in rows if row[4] > row[5]]
    assert late == ["028", "032", "032"]
    assert [row[0] for row in rows if row[5] != truth[row[1]]["offset_frame"]] == ["013"]
    assert {str(row[8]) for row in rows} > {"L12 or L14", "12+15 ", "7B+ ref(43)", "A1B+A2C", "10A/B"}
    digits = {clip.clip_id: {len(name[4:-4]) for name in clip.folders[0].file_names} for clip in all_clips(plan)}
    short = [clip_id for clip_id, widths in digits.items() if widths == {4}]
    assert [clip_id[:3] for clip_id in short] == ["013", "013", "017", "026", "026", "035"]
    assert all(truth[clip_id]["onset_frame"] < 1000 for clip_id in short)
    assert {tuple(widths) for widths in digits.values()} == {(4,), (5,)}
    older = load(plan, "SAMM_Micro_FACS_Codes.xlsx")["MICRO_ONLY"]
    assert (older["A11"].value, older["A12"].value) == ("Subject", "006")
    assert older["G12"].value == older["F12"].value - older["D12"].value + 1


def test_casme_squared_quirks(plans):
    plan = plans["casme_squared", True]
    book = load(plan, "CAS(ME)^2code_final.xlsx")
    assert book.sheetnames[0] == "CASMEcode_final"
    rows = list(book.worksheets[0].iter_rows(values_only=True))
    uncoded = [row for row in rows if row[4] == 0]
    assert (len(uncoded), {row[7] for row in uncoded}) == (44, {"macro-expression"})
    assert [row[7] for row in rows if row[3] == 0] == ["macro-expression"]
    assert [row[0] for row in rows if row[4] and row[3] > row[4]] == [11, 14, 15]
    assert [row[3] - row[4] for row in rows if row[0] == 14 and row[4] and row[3] > row[4]] == [1]
    feelings = count(row[8] for row in rows)
    assert (feelings["happyiness"], feelings["happiness"]) == (1, 146)
    assert sum(str(row[5]).upper() == "NULL" for row in rows) == 11
    faces = [clip for clip in all_clips(plan) if len(clip.folders) == 2]
    assert len(faces) == 341
    first = plan.subjects[0]
    longest = max(int(path.rpartition("img")[2][:-4]) for path in first.copies if "img1" in path)
    assert longest > 1003
    assert any(path.endswith("/img999.jpg") for path in first.copies)
    table = list(csv.reader(io.StringIO(plan.documents["CAS(ME)^2code_final(Updated).csv"].decode())))
    assert (len(table), table[0][0]) == (358, "Subject")
