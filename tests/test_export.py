"""Files for other programs, read back by parsers that know nothing of the writers."""

import csv
import datetime
import io
import itertools
import json
import re
import urllib.parse
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mer_jax.export.bids import describe_events, format_events
from mer_jax.export.boris import NO_ANSWER, format_boris, format_boris_table
from mer_jax.export.elan import format_elan
from mer_jax.export.frames_csv import FramesWriter
from mer_jax.export.intervals_csv import format_intervals
from mer_jax.export.json_lines import format_json_lines
from mer_jax.export.textgrid import format_textgrid
from mer_jax.export.tiers import divide_into_tiers
from mer_jax.export.webvtt import format_webvtt
from mer_jax.prediction.video import WatchedFace
from tests.toy_models import NAMES
from tests.toy_videos import make_busy_video, make_interval, make_video

NOW = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.UTC)
EMPTY = make_video()


@pytest.fixture(scope="module")
def video():
    return make_busy_video()


def test_tiers_hold_no_two_intervals_that_overlap(video):
    tiers = divide_into_tiers(video)
    assert list(tiers) == ["face 0 micro", "face 0 micro 2", "face 1 micro", "face 0 blink"]
    assert [len(each) for each in tiers.values()] == [2, 1, 1, 1]
    touching = divide_into_tiers(make_video(make_interval(0, 9), make_interval(10, 19)))
    assert [len(each) for each in touching.values()] == [2], "one ends where the next begins"


# --- ELAN: the rules of EAFv3.0.xsd that a reader depends on.

EAF_CHILDREN = ("HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE")


def read_eaf(text):
    """Tier name -> [(start ms, end ms, value)], after checking order, ids and references as the schema does."""
    root = ET.fromstring(text)
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "VERSION"} <= set(root.attrib)
    datetime.datetime.fromisoformat(root.attrib["DATE"])
    order = [EAF_CHILDREN.index(child.tag) for child in root]
    assert order == sorted(order)
    assert set(order) == set(range(len(EAF_CHILDREN)))
    (media,) = root.findall("HEADER/MEDIA_DESCRIPTOR")
    assert {"MEDIA_URL", "MIME_TYPE"} <= set(media.attrib)
    slots = {
        slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.findall("TIME_ORDER/TIME_SLOT")
    }
    ids = [each.attrib["ANNOTATION_ID"] for each in root.iter("ALIGNABLE_ANNOTATION")]
    assert len(set(ids) | set(slots)) == len(ids) + len(slots), "xsd:ID: unique in the document"
    types = {each.attrib["LINGUISTIC_TYPE_ID"] for each in root.findall("LINGUISTIC_TYPE")}
    tiers = {}
    for tier in root.findall("TIER"):
        assert tier.attrib["LINGUISTIC_TYPE_REF"] in types
        annotations = tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
        tiers[tier.attrib["TIER_ID"]] = [
            (
                slots[each.attrib["TIME_SLOT_REF1"]],
                slots[each.attrib["TIME_SLOT_REF2"]],
                each.findtext("ANNOTATION_VALUE"),
            )
            for each in annotations
        ]
    return media.attrib, tiers, [each.text for each in root.findall("HEADER/PROPERTY")]


def test_elan_reads_tiers_and_times(video):
    media, tiers, notes = read_eaf(format_elan(video, Path("/data/out"), now=NOW))
    assert urllib.parse.unquote(urllib.parse.urlparse(media["MEDIA_URL"]).path) == "/data/a film.mp4"
    assert media["RELATIVE_MEDIA_URL"] == "../a film.mp4"
    assert media["MIME_TYPE"] == "video/mp4"
    assert tiers["face 0 micro"][0] == (0, 300, "SURROGATE micro: positive 0.70")
    assert tiers["face 0 micro 2"] == [(200, 420, "SURROGATE micro: no answer (positive?) 0.40")]
    assert tiers["face 1 micro"] == [(2000, 2320, "SURROGATE micro: surprise 0.70")]
    assert any("5(1)(f)" in note for note in notes)


def test_elan_opens_a_video_without_intervals():
    _, tiers, _ = read_eaf(format_elan(EMPTY, Path("/elsewhere")))
    assert tiers == {"face 0": []}


# --- Praat: a reader of the long text form.


def read_textgrid(text):
    tokens = re.findall(r'"(?:[^"]|"")*"|<exists>|-?\d+(?:\.\d+)?(?![\d\]:])', text)
    values = iter(tokens)

    def number():
        return float(next(values))

    def string():
        return next(values)[1:-1].replace('""', '"')

    assert [string(), string()] == ["ooTextFile", "TextGrid"]
    start, end = number(), number()
    assert next(values) == "<exists>"
    tiers = {}
    for _ in range(int(number())):
        assert string() == "IntervalTier"
        name, low, high = string(), number(), number()
        assert (low, high) == (start, end)
        tiers[name] = [(number(), number(), string()) for _ in range(int(number()))]
    assert next(values, None) is None
    return start, end, tiers


@pytest.mark.parametrize("which", ["busy", "empty"])
def test_praat_reads_tiers_without_gaps(which, video):
    shown = {"busy": video, "empty": EMPTY}[which]
    start, end, tiers = read_textgrid(format_textgrid(shown))
    assert (start, end) == (0, pytest.approx(10))
    for pieces in tiers.values():
        assert pieces[0][0] == start
        assert pieces[-1][1] == end
        for one, following in itertools.pairwise(pieces):
            assert one[1] == following[0]
            assert one[0] < one[1]
    assert "5(1)(f)" in tiers["use"][0][2]
    if which == "busy":
        assert (2.0, 2.32, "SURROGATE micro: surprise 0.70") in tiers["face 1 micro"]
    else:
        assert tiers["face 0"] == [(0.0, 10.0, "")]


def test_quotes_survive_in_praat():
    odd = make_video(make_interval(0, 9, 'so-called "joy"'))
    _, _, tiers = read_textgrid(format_textgrid(odd))
    assert tiers["face 0 micro"][0][2] == 'SURROGATE micro: so-called "joy" 0.70'


# --- WebVTT


def read_vtt(text):
    head, *blocks = text.strip().split("\n\n")
    assert head == "WEBVTT"
    notes = [block for block in blocks if block.startswith("NOTE ")]
    cues = []
    for block in blocks[len(notes) :]:
        timing, *lines = block.split("\n")
        found = re.fullmatch(r"(\d\d+):(\d\d):(\d\d\.\d{3}) --> (\d\d+):(\d\d):(\d\d\.\d{3})", timing)
        assert found, timing
        begin, end = (int(found[i]) * 3600 + int(found[i + 1]) * 60 + float(found[i + 2]) for i in (1, 4))
        assert begin < end
        cues.append((begin, end, "\n".join(lines)))
    return notes, cues


def test_subtitles_have_times_and_faces(video):
    notes, cues = read_vtt(format_webvtt(video))
    assert cues[0] == (0, pytest.approx(0.3), "face 0: SURROGATE micro: positive 0.70")
    assert len(cues) == 5
    assert "5(1)(f)" in " ".join(notes)
    assert read_vtt(format_webvtt(EMPTY))[1] == []
    late = make_video(make_interval(50 * 7322, 50 * 7322 + 9), num_frames=50 * 7400)
    assert "02:02:02.000 --> 02:02:02.200" in format_webvtt(late)


def test_markup_in_a_label_is_text_in_a_subtitle():
    (cue,) = read_vtt(format_webvtt(make_video(make_interval(0, 9, "a<b> & c"))))[1]
    assert cue[2] == "SURROGATE micro: a&lt;b&gt; &amp; c 0.70"


# --- BORIS


def test_boris_project_has_paired_state_events(video):
    project = json.loads(format_boris(video, now=NOW))
    assert project["project_format_version"] == "7.0"
    assert {each["code"] for each in project["behaviors_conf"].values()} == {"micro", "blink"}
    assert {each["type"] for each in project["behaviors_conf"].values()} == {"State event"}
    assert [each["name"] for each in project["subjects_conf"].values()] == ["face 0", "face 1"]
    (observation,) = project["observations"].values()
    (media,) = observation["file"]["1"]
    assert media == "/data/a film.mp4"
    assert observation["media_info"]["length"][media] == pytest.approx(10)
    assert observation["media_info"]["fps"][media] == pytest.approx(50)
    times = [event[0] for event in observation["events"]]
    assert times == sorted(times)
    keys = [f"{event[1]} {event[2]}" for event in observation["events"]]
    assert all(keys.count(key) % 2 == 0 for key in keys)
    allowed = {*NAMES, NO_ANSWER}
    assert all(event[3] in allowed for event in observation["events"])
    assert "5(1)(f)" in project["project_description"]


def test_boris_table_has_the_columns_of_its_export(video):
    rows = list(csv.DictReader(io.StringIO(format_boris_table(video, now=NOW))))
    assert len(rows) == 5
    assert rows[0]["Behavior type"] == "STATE"
    assert (float(rows[0]["Start (s)"]), float(rows[0]["Stop (s)"])) == (0.0, 0.3)
    assert (rows[0]["Image index start"], rows[0]["Image index stop"]) == ("0", "14")
    assert list(csv.DictReader(io.StringIO(format_boris_table(EMPTY)))) == []


def test_boris_opens_a_video_without_intervals():
    (observation,) = json.loads(format_boris(EMPTY))["observations"].values()
    assert observation["events"] == []


# --- BIDS


def test_bids_events_are_tab_separated_with_a_sidecar(video):
    rows = list(csv.DictReader(io.StringIO(format_events(video)), delimiter="\t"))
    assert list(rows[0])[:3] == ["onset", "duration", "trial_type"]
    assert (float(rows[0]["onset"]), float(rows[0]["duration"])) == (0.0, pytest.approx(0.3))
    assert rows[1]["label"] == "n/a"
    onsets = [float(row["onset"]) for row in rows]
    assert onsets == sorted(onsets)
    sidecar = json.loads(describe_events(video))
    assert set(sidecar) == set(rows[0])
    assert "5(1)(f)" in sidecar["trial_type"]["Description"]
    assert format_events(EMPTY).splitlines() == ["onset\tduration\ttrial_type\tlabel\tconfidence\tface_id"]


# --- tables


def test_table_of_intervals(video):
    rows = list(csv.DictReader(io.StringIO(format_intervals([video, EMPTY], NAMES))))
    assert len(rows) == 5
    first, unsure = rows[:2]
    assert (first["file"], first["onset_frame"], first["apex_frame"], first["offset_frame"]) == (
        "a film.mp4",
        "0",
        "6",
        "14",
    )
    assert (float(first["apex_s"]), float(first["duration_s"])) == (0.12, pytest.approx(0.3))
    assert (first["label"], float(first["p_positive"]), first["type"]) == ("positive", 0.7, "micro")
    assert (unsure["label"], unsure["best_guess"]) == ("", "positive")
    assert unsure["abstained"] == 'confidence 0.40 is below 0.60, "low" & <unsure>'
    assert {row["provenance"] for row in rows} == {"SURROGATE"}


def test_json_lines_begin_with_the_video(video):
    head, *lines = map(json.loads, format_json_lines(video).splitlines())
    assert (head["type"], head["frames"], head["provenance"]) == ("video", 500, "SURROGATE")
    assert any("5(1)(f)" in note for note in head["use"])
    assert [line["answer"]["label"] for line in lines] == ["positive", None, "surprise", "positive", "negative"]
    assert len(format_json_lines(EMPTY).splitlines()) == 1


def test_frames_have_a_row_for_each_face_and_for_none(video):
    text = io.StringIO()
    writer = FramesWriter(text, video)
    writer.write(3, ())
    both = (WatchedFace(0, (10, 20, 50, 80), True, None), WatchedFace(1, (100, 20, 150, 80), False, 2.5))
    writer.write(105, both)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert [(row["frame"], row["face_id"], row["success"]) for row in rows] == [
        ("3", "", "0"), ("105", "0", "1"), ("105", "1", "1"),
    ]  # fmt: skip
    assert list(rows[0])[:5] == ["frame", "face_id", "timestamp", "confidence", "success"]
    assert rows[0]["p_positive"] == "0.700000", "an interval is in the table though its face is not seen"
    assert rows[1]["FaceRectWidth"] == "40.0"
    assert (rows[1]["p_surprise"], rows[2]["p_surprise"]) == ("", "0.200000")
    assert (rows[1]["confidence"], rows[2]["confidence"]) == ("1", "0")
    assert float(rows[2]["timestamp"]) == 2.1


def test_licensed_model_is_not_called_a_surrogate():
    licensed = make_video(make_interval(0, 9, provenance="licensed"), provenance="licensed")
    for text in (
        format_elan(licensed, Path("/data")), format_textgrid(licensed), format_webvtt(licensed),
        format_boris(licensed), format_json_lines(licensed), describe_events(licensed),
    ):  # fmt: skip
        assert "SURROGATE" not in text
        assert "5(1)(f)" in text
