"""The other parts of SMIC: cropped faces, the slow cameras, SMIC-E, and what is wrong in copies of them."""

import collections
import io
import json
import re
from pathlib import Path

import cv2
import openpyxl
import pytest

from datasets.surrogate.corpus import CORPORA, render_corpus
from datasets.surrogate.plan import CorpusOptions, CorpusPlan
from mer_jax.errors import ConfigError

TINY = {"num_subjects": 2, "num_clips": 6, "seed": 3, "scale": 0.2}
CLIP = r"/(s\d+)/micro/(?:positive|negative|surprise)/\1_(?:po|ne|sur)_\d\d/"
FRAMES = {
    "smic": r"HS" + CLIP + r"image\d{6,8}\.bmp",
    "smic_cropped": r"HS" + CLIP + r"reg_image\d{6,8}\.bmp",
    "smic_vis": r"VIS" + CLIP + r"\d{5,6}\.bmp",
    "smic_nir": r"NIR" + CLIP + r"\d{5,6}\.bmp",
    "smic_hs_e": r"HS_long/SMIC-HS-E/s\d\d/s\d+_(po|ne|sur)_\d\d/image\d{6,8}\.jpg",
    "smic_vis_e": r"VIS_long/SMIC-VIS-E/VIS/s\d\d/s\d+_(po|ne|sur)_\d\d/VIS \d{5}\.jpg",
}
HS_TABLE = "HS_long/SMIC-HS-E/SMIC-HS-E_annotation.xlsx"
VIS_TABLE = "VIS_long/SMIC-VIS-E/SMIC_VIS_E_annotation.xlsx"


def silent(_: str) -> None:
    pass


def make_plan(corpus: str, **options) -> CorpusPlan:
    release = CORPORA[corpus]
    full = {"num_subjects": release.num_subjects, "num_clips": release.num_clips}
    return release.plan(CorpusOptions(**{**full, **options}))


def load(plan: CorpusPlan, path: str, *, values: bool = True):
    return openpyxl.load_workbook(io.BytesIO(plan.documents[path]), data_only=values)


def rows_of(sheet) -> list[dict]:
    header, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows if row[0] is not None]


def count(values) -> dict:
    return dict(collections.Counter(values))


@pytest.mark.parametrize("corpus", FRAMES)
def test_layout_is_that_of_the_release(corpus, tmp_path):
    root = render_corpus(tmp_path, corpus=corpus, **TINY, workers=1, log=silent)
    frames = [path for path in root.rglob("*") if path.suffix in (".bmp", ".jpg")]
    assert frames
    names = [path.relative_to(root).as_posix() for path in frames]
    assert not [name for name in names if not re.fullmatch(FRAMES[corpus], name)]
    shapes = {cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in frames}
    if corpus == "smic_cropped":
        assert all(abs(height - 34) <= 1 and abs(width - 28) <= 1 for height, width, _ in shapes)
    else:
        assert shapes == {(96, 128)} if corpus == "smic_nir" else {(96, 128, 3)}
    marker = json.loads((root / "SURROGATE.json").read_text())
    assert (marker["corpus"], marker.get("variant", "")) == ("smic", corpus.removeprefix("smic").removeprefix("_"))
    for clip in marker["clips"].values():
        numbers = sorted(int(re.findall(r"\d+", path.stem)[-1]) for path in (root / clip["folder"]).iterdir())
        note = clip.get("annotation")
        first, last = (note["first_frame"], note["last_frame"]) if note else (numbers[0], numbers[0] + clip["offset"])
        assert numbers == list(range(first, last + 1))
        if note:
            assert first < note["onset_frame"] < note["offset_frame"] < last


@pytest.mark.parametrize("corpus", ["smic_vis", "smic_nir"])
def test_slow_cameras_have_the_counts_of_the_release(corpus):
    plan = make_plan(corpus)
    clips = [clip for subject in plan.subjects for clip in subject.clips]
    assert count(clip.spec.class_name for clip in clips) == {"negative": 23, "positive": 28, "surprise": 20}
    assert {subject.name: len(subject.clips) for subject in plan.subjects} == {
        "s11": 7, "s12": 9, "s13": 10, "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
    }  # fmt: skip
    assert all(4 <= clip.spec.num_frames <= 13 for clip in clips)


def test_a_subject_looks_the_same_to_every_camera():
    faces = [
        {subject.name: subject.subject.seed for subject in make_plan(corpus).subjects}
        for corpus in ("smic", "smic_cropped", "smic_vis", "smic_nir", "smic_hs_e", "smic_vis_e")
    ]
    assert all(face == faces[0][name] for each in faces for name, face in each.items())


def test_cropped_clips_are_those_of_the_whole_frames():
    whole, cropped = (
        [(clip.clip_id, clip.spec.seed, clip.spec.num_frames) for subject in plan.subjects for clip in subject.clips]
        for plan in (make_plan("smic"), make_plan("smic_cropped"))
    )
    assert whole == cropped


@pytest.mark.parametrize("corpus", ["smic", "smic_cropped", "smic_vis"])
def test_quirks_of_cut_clips(corpus, tmp_path):
    root = render_corpus(tmp_path, corpus=corpus, quirks=True, **TINY, workers=1, log=silent)
    camera = "VIS" if corpus == "smic_vis" else "HS"
    tree = root / root.name / camera
    assert tree.is_dir()
    clean = {clip.clip_id for subject in make_plan(corpus, **TINY).subjects for clip in subject.clips}
    folders = [path for path in tree.glob("*/micro/*/*") if path.is_dir()]
    missing = clean - {folder.name for folder in folders}
    assert len(missing) == (1 if corpus == "smic_cropped" else 0)
    lacking, widths = 0, set()
    for folder in folders:
        stems = [path.stem for path in folder.glob("[!.]*.bmp")]
        numbers = sorted(int(re.findall(r"\d+", stem)[-1]) for stem in stems)
        lacking += numbers[-1] - numbers[0] + 1 - len(numbers)
        widths.add(tuple(sorted({len(stem) for stem in stems})))
    assert lacking == 1
    assert any(len(each) == 2 for each in widths), "no clip's numbers gain a digit"
    assert len(list(tree.glob("*/non_micro/*/*.bmp"))) == 12
    assert list(tree.rglob("Thumbs.db"))
    marker = json.loads((root / "SURROGATE.json").read_text())
    assert set(marker["clips"]) == clean - missing
    assert len(marker["quirks"]) == 5 + len(missing)


@pytest.mark.parametrize(
    ("corpus", "table", "emotions"),
    [
        ("smic_hs_e", HS_TABLE, {"negative": 65, "positive": 51, "surprise": 41}),
        ("smic_vis_e", VIS_TABLE, {"negative": 23, "positive": 28, "surprise": 20}),
    ],
)
def test_extended_annotation_has_the_counts_of_the_release(corpus, table, emotions):
    plan = make_plan(corpus)
    camera = corpus.split("_")[1].upper()
    rows = rows_of(load(plan, table)[camera])
    assert count(row["Emotion"] for row in rows) == emotions
    slow = {20: 22, 19: 2, 18: 7, 15: 4, 14: 10, 13: 10, 12: 9, 11: 7}
    rest = {9: 3, 8: 13, 6: 4, 5: 2, 4: 17, 3: 37, 2: 5, 1: 5} if camera == "HS" else {}
    assert list(count(row["Subject"] for row in rows).items()) == [*slow.items(), *rest.items()]
    for row in rows:
        last = row.get("LastF", row["FirstF"] + row["TotalVL"] - 1)
        assert row["FirstF"] < row["OnsetF"] < row["OffsetF"] < last
        assert row["TotalMF1"] == row["OffsetF"] - row["OnsetF"] + 1
        assert last == row["FirstF"] + row["TotalVL"] - 1


def test_extended_workbook_is_built_like_the_release():
    plan = make_plan("smic_hs_e")
    book, formulas = (load(plan, HS_TABLE, values=values) for values in (True, False))
    assert book.sheetnames == ["HS", "VIS", "Sheet2", "Sheet3"]
    assert (book["HS"].dimensions, book["VIS"].dimensions) == ("A1:S164", "A1:O80")
    assert [cell.value for cell in book["HS"][1]] == [
        "Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None, "FirstF",
        "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion", None, None,
    ]  # fmt: skip
    sheet = formulas["HS"]
    assert (sheet["E2"].value, sheet["K2"].value) == ("=D2+M2-1", "=D2-100*(VIS!D2-VIS!I2)/25")
    assert (sheet["L2"].value, sheet["P2"].value) == ("=K2+100*(VIS!L2)/25-1", "=L2-K2+1")
    assert (type(sheet["K73"].value), sheet["L73"].value, type(sheet["P73"].value)) == (int, "=K73+P73-1", int)
    assert formulas["VIS"]["J2"].value == "=E2-D2+1"
    slow = rows_of(book["VIS"])
    assert [row["Filename"] for row in slow] == [row["Filename"] for row in rows_of(book["HS"])[:71]]
    for fast, row in zip(rows_of(book["HS"]), slow, strict=False):  # the stored values are those of the formulas
        assert fast["FirstF"] == fast["OnsetF"] - 100 * (row["OnsetF"] - row["FirstF"]) / 25
        assert fast["LastF"] == fast["FirstF"] + 100 * row["TotalVL"] / 25 - 1


def test_extended_quirks():
    plan = make_plan("smic_hs_e", quirks=True)
    rows = rows_of(load(plan, HS_TABLE)["HS"])
    late = [row for row in rows if row["OnsetF"] > row["LastF"]]
    assert [row["Subject"] for row in late] == [1]
    renamed = [row for row in rows if row["Emotion"][:2] != row["Filename"].split("_")[1][:2]]
    assert [(row["Filename"][:7], row["Emotion"]) for row in renamed] == [("s18_sur", "negative")]
    assert count(row["Emotion"] for row in rows) == {"negative": 66, "positive": 51, "surprise": 40}
    second = [row for row in rows if row["Onset2F"] is not None]
    assert len(second) == 8
    assert all(row["OffsetF"] < row["Onset2F"] < row["Offset2F"] <= row["LastF"] for row in second)
    third = [row for row in rows if row["Onset3F"] is not None]
    assert len(third) == 5
    assert all(row["Onset3F"] < row["FirstF"] - 10_000 and row["Offset3F"] == row["FirstF"] for row in third)
    assert all(row["TotalMF3"] < -10_000 for row in third)
    older = rows_of(load(plan, HS_TABLE.replace(".xlsx", "_orig.xlsx"))["HS"])
    assert "Onset3F" not in older[0]
    assert [row["FirstF"] for row in older if isinstance(row["FirstF"], str)] == ["MISSING <-426679"]
    marker = plan.marker()
    assert marker["clips"][renamed[0]["Filename"]]["class"] == "negative"


def test_extended_release_has_no_further_subjects(tmp_path):
    with pytest.raises(ConfigError, match="subjects is 9, but SMIC-E VIS has 8: give at most as many"):
        render_corpus(tmp_path / "new", corpus="smic_vis_e", num_subjects=9, log=silent)
    assert not (Path(tmp_path) / "new").exists()
