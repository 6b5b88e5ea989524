"""Files of intervals: what is read from them, what is refused, and `mer score-spotting` as a user runs it."""

import csv
import datetime
import json
import math
from pathlib import Path

import pytest

from mer_jax.cli.main import main
from mer_jax.errors import IntervalsError
from mer_jax.export.elan import format_elan
from mer_jax.export.intervals_csv import format_intervals
from mer_jax.export.json_lines import format_json_lines
from mer_jax.spotting.agreement import compute_kappa
from mer_jax.spotting.durations import list_durations
from mer_jax.spotting.evaluation import evaluate_tables
from mer_jax.spotting.interval_table import IntervalTable, align_names
from mer_jax.spotting.measure import OVERALL, score_spotting
from mer_jax.spotting.read_intervals import read_intervals, read_videos
from tests.test_spotting_measure import parse
from tests.toy_models import NAMES
from tests.toy_videos import make_busy_video, make_video

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path, **kinds: str) -> IntervalTable:
    return read_intervals(path, kinds)


def list_rows(table: IntervalTable) -> list[tuple]:
    return [(row.video, row.kind, row.onset_frame, row.offset_frame) for row in table.rows]


# --- Tables.


def test_intervals_csv_of_our_own(tmp_path):
    video = make_busy_video()
    table = read(write(tmp_path / "intervals.csv", format_intervals([video], NAMES).rstrip()))
    assert list_rows(table)[0] == ("a film.mp4", "micro", 0, 14)
    assert [row.kind for row in table.rows] == ["micro", "micro", "micro", "blink", "micro"]
    assert [row.face_id for row in table.rows] == [0, 0, 1, 0, 0]
    assert [row.label for row in table.rows] == ["positive", None, "surprise", "positive", "negative"]
    assert {row.score for row in table.rows} == {0.5}
    assert table.provenance == "surrogate"
    assert table.videos["a film.mp4"].frame_rate == pytest.approx(50)
    (note,) = table.notes
    assert note.startswith("intervals.csv: file is video, onset_frame is onset_frame, offset_frame is offset_frame")


def test_columns_of_other_tables(tmp_path):
    path = write(
        tmp_path / "labels.csv",
        "\ufeffSubject;Video;Onset;Apex;Offset;Expression Type;Emotion",
        "s15;15_0101disgustingteeth;559;570;581;MaE;disgust",
        "s15;15_0102eatingworms;10;14;0;Micro-expression;",
        "",
    )
    table = read(path)
    assert list_rows(table) == [
        ("15_0101disgustingteeth", "macro", 559, 581),
        ("15_0102eatingworms", "micro", 10, 14),
    ]
    assert [row.label for row in table.rows] == ["disgust", None]
    assert {facts.subject for facts in table.videos.values()} == {"s15"}
    assert table.notes[1] == "labels.csv: 1 intervals have the offset 0 and end at their apex instead"


def test_a_column_of_labels_may_hold_the_types(tmp_path):
    table = read(write(tmp_path / "t.csv", "file,onset,offset,label", "a,1,2,micro", "a,5,9,macro"))
    assert [(row.kind, row.label) for row in table.rows] == [("micro", None), ("macro", None)]
    assert table.notes == ("t.csv: file is video, onset is onset_frame, offset is offset_frame, label is kind",)


def test_times_become_frames(tmp_path):
    path = write(tmp_path / "t.csv", "file,start_s,end_s", "a,0.4,0.8", "a,1.0,1.001")
    table = read(path)
    assert not table.has_frames
    assert table.notes[1] == "t.csv has no column of types: all its intervals are of one kind"
    placed = [each for each, _ in table.place_on_frames({"a": 25.0})["a"]]
    assert [(each.onset_frame, each.offset_frame) for each in placed] == [(10, 19), (25, 25)]
    last = read(write(tmp_path / "u.csv", "file,onset_s,offset_s,fps", "a,0.4,0.8,25"))
    assert last.videos["a"].frame_rate == 25
    ((each, _),) = last.place_on_frames({"a": 25.0})["a"]
    assert (each.onset_frame, each.offset_frame) == (10, 20), "the time of the last frame, which is included"


def test_a_rate_is_counted_only_where_none_is_stated(tmp_path):
    header, rows = "file,onset_frame,offset_frame,onset_s,offset_s", ("a,1,26,0,1", "a,51,52,2,2.04")
    counted = read(write(tmp_path / "t.csv", header, *rows))
    assert counted.videos["a"].frame_rate == pytest.approx(25), "frames are counted from 1"
    stated = read(write(tmp_path / "u.csv", f"{header},fps", f"{rows[0]},", f"{rows[1]},30"))
    assert stated.videos["a"].frame_rate == 30
    assert read(write(tmp_path / "v.csv", header, "a,5,5,0.2,0.2")).videos["a"].frame_rate is None


def test_a_table_may_begin_with_an_empty_line(tmp_path):
    table = read(write(tmp_path / "t.csv", "", " ", "file;onset;offset", "a;1;2"))
    assert list_rows(table) == [("a", "given", 1, 2)]


def test_half_of_the_times_are_no_times(tmp_path):
    table = read(write(tmp_path / "t.csv", "file,onset,offset,onset_s,end_s", "a,10,19,0.4,", "a,,,1,2"))
    assert not table.has_frames
    placed = [each for each, _ in table.place_on_frames({"a": 25.0}, from_times=True)["a"]]
    assert [(each.onset_frame, each.offset_frame) for each in placed] == [(10, 19), (25, 49)]


def test_a_header_alone_says_that_nothing_was_found(tmp_path):
    table = read(write(tmp_path / "none.csv", "file,onset_frame,offset_frame,type"))
    assert (table.rows, dict(table.videos), table.has_frames) == ((), {}, True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "is empty"),
        (["onset,offset", "1,2"], "has no column of videos; expected one called file or video. It has onset, offset"),
        (["file,onset", "a,1"], "has no onsets and offsets"),
        (["file,onset,duration", "a,1,2"], "expected columns onset_frame and offset_frame"),
        (["file,onset,offset", "a,1"], "row 1: has 2 cells; expected 3"),
        (["file,onset,offset", "a,1.5,2"], r"row 1: has the onset_frame 1.5; expected a whole number; call columns in"),
        (["file,onset,offset", "a,1,2", "a,x,3"], "row 2: has the onset_frame 'x'; expected a number"),
        (["file,onset,offset", "a,1,1e30"], "row 1: has the offset_frame '1e30'"),
        (["file,onset,offset", "a,nan,2"], "row 1: has the onset_frame 'nan'"),
        (["file,onset,offset,fps", "a,1,2,0"], "row 1: has the frame_rate 0; expected a number above 0"),
        (["file,onset,offset", "a,1,"], "row 1: has no onset or no offset"),
        (["file,onset,offset", ",1,2"], "row 1: has no video"),
        (
            ["video,subject,onset,offset", "EP01,6,1,2", "EP01,7,1,2"],
            "row 2: has the video 'EP01' of 7, which was of 6 before; expected a name of its own for each",
        ),
        (["file,onset,offset,type", "a,1,2,smile"], "row 1: has the type 'smile'; expected one of micro, macro"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, lines, message):
    with pytest.raises(IntervalsError, match=message) as caught:
        read(write(tmp_path / "bad.csv", *lines))
    assert "\n" not in str(caught.value)


def test_an_offset_before_its_onset_is_refused_with_its_row(tmp_path):
    table = read(write(tmp_path / "bad.csv", "file,onset,offset", "a,1,2", "a,9,3"))
    with pytest.raises(IntervalsError, match=r"bad.csv, row 2: is from frame 9 to 3; expected"):
        table.place_on_frames({})
    table = read(write(tmp_path / "bad.csv", "file,onset_s,end_s", "a,9,3"))
    with pytest.raises(IntervalsError, match=r"bad.csv, row 1: is from 9 to 3 s; expected"):
        table.place_on_frames({"a": 30.0})
    with pytest.raises(
        IntervalsError, match="has 'a' in seconds, and the frame rate is not known; expected --frame_rate"
    ):
        table.place_on_frames({"a": None})


def test_forms_that_are_not_known(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.csv").write_bytes("file,onset,offset\nMüller,1,2\n".encode("latin-1"))
    for name, message in (
        ("labels.xlsx", "does not exist"),
        ("empty", "holds no intervals.jsonl and no .eaf file"),
        ("notes.txt", "ends in '.txt'; expected a .csv"),
        ("latin.csv", "is not text in UTF-8"),
        ("bad.jsonl", "line 1: not what `mer predict` writes"),
    ):
        if name in ("notes.txt", "bad.jsonl"):
            write(tmp_path / name, "hello")
        with pytest.raises(IntervalsError, match=message):
            read(tmp_path / name)


# --- ELAN.


def write_eaf(path: Path, tiers: dict[str, list[tuple[int | None, int, str]]]) -> Path:
    slots, parts = [], []
    for name, annotations in tiers.items():
        inner = []
        for start, end, text in annotations:
            for value in (start, end):
                timed = "" if value is None else f' TIME_VALUE="{value}"'
                slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{len(slots) + 1}"{timed}/>')
            number = len(slots)
            inner.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="ts{number - 1}" '
                f'TIME_SLOT_REF2="ts{number}"><ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>'
                "</ANNOTATION>"
            )
        parts.append(f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="t">{"".join(inner)}</TIER>')
    return write(
        path,
        f"<ANNOTATION_DOCUMENT><HEADER/><TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(parts)}</ANNOTATION_DOCUMENT>",
    )


def test_our_own_export_is_read_back_to_the_same_frames(tmp_path):
    video = make_busy_video()
    table = read(write(tmp_path / "a film.eaf", format_elan(video, tmp_path, now=NOW).rstrip()))
    assert table.provenance == "surrogate"
    placed = table.place_on_frames({"a film": 50.0})["a film"]
    found = {(each.onset_frame, each.offset_frame, each.kind, each.face_id, label) for each, label in placed}
    assert found == {
        (each.interval.onset_frame, each.interval.offset_frame, each.interval.kind, each.interval.face_id,
         each.prediction.label if each.is_classified else None)  # ELAN has only the kind of the others
        for each in video.intervals
    }  # fmt: skip
    empty = read(write(tmp_path / "b.eaf", format_elan(make_video(), tmp_path, now=NOW).rstrip()))
    assert (empty.rows, list(empty.videos)) == ((), ["b"])


def test_tiers_and_texts_of_a_coder(tmp_path):
    path = write_eaf(
        tmp_path / "s01.eaf",
        {
            "Micro-expressions": [(0, 400, "surprise"), (1000, 1200, "")],
            "Coder 2": [(2000, 2200, "micro"), (2500, 2700, "unsure"), (3000, 5000, "macro")],
            "My smiles": [(6000, 8000, "left")],
            "Comments": [(0, 100, "talks to the interviewer")],
        },
    )
    table = read(path)
    assert [(row.kind, row.label) for row in table.rows] == [
        ("micro", "surprise"), ("micro", None), ("micro", None), ("macro", None)
    ]  # fmt: skip
    assert table.notes == (
        "s01.eaf: tier 'Micro-expressions' is micro, tier 'Coder 2' is micro or macro",
        "s01.eaf: tiers left out: My smiles, Comments",
        "s01.eaf: 1 annotations of no known kind left out, such as 'unsure'",
    )
    chosen = read_intervals(path, {"My smiles": "macro"})
    assert chosen.rows[-1].kind == "macro"
    assert (chosen.rows[-1].onset_s, chosen.rows[-1].end_s) == (6.0, 8.0)


def test_a_folder_has_one_file_a_video(tmp_path):
    for name in ("s2", "s10", "s1"):
        write_eaf(tmp_path / "coder" / f"{name}.eaf", {"micro": [(0, 400, "")] if name != "s1" else []})
    table = read(tmp_path / "coder")
    assert list(table.videos) == ["s1", "s2", "s10"], "one without annotations is a video too"
    assert len(table.rows) == 2
    write_eaf(tmp_path / "coder" / "again" / "s1.eaf", {"micro": []})
    with pytest.raises(IntervalsError, match="have the same name; expected one file a video"):
        read(tmp_path / "coder")


def test_eaf_files_that_cannot_be_read(tmp_path):
    path = write_eaf(tmp_path / "a.eaf", {"Smiles": [(0, 400, "x")], "AU4": [(0, 400, "x")]})
    with pytest.raises(
        IntervalsError, match="has the tiers 'Smiles', 'AU4', and none says of which kind it is; expected"
    ):
        read(path)
    with pytest.raises(IntervalsError, match="tier 'micro', annotation a2: has no time; expected milliseconds"):
        read(write_eaf(tmp_path / "b.eaf", {"micro": [(None, 400, "x")]}))
    with pytest.raises(IntervalsError, match=r"is from 0.4 to 0.4 s"):
        read(write_eaf(tmp_path / "c.eaf", {"micro": [(400, 400, "x")]}))
    with pytest.raises(IntervalsError, match="is no XML"):
        read(write(tmp_path / "d.eaf", "hello"))
    with pytest.raises(IntervalsError, match="is XML of another kind, <html>"):
        read(write(tmp_path / "e.eaf", "<html/>"))


# --- Names of videos, and what is known about them.


def test_names_are_shortened_only_where_it_helps():
    assert align_names(["a.mp4", "b.mp4"], ["a.mp4", "c.mp4"]) is None
    assert align_names(["s1/a.mp4"], ["a"])("s1/a.mp4") == "a"
    assert align_names(["s1/a.mp4", "s2/a.mp4"], ["a"]) is None, "two would become the same"
    assert align_names(["a"], ["b"]) is None


def test_what_is_known_about_videos(tmp_path):
    path = write(tmp_path / "v.csv", "file,num_frames,fps,subject", "a,300,30,s1", "b,400,,s2")
    videos = read_videos(path)
    assert (videos["a"].duration_s, videos["a"].frame_rate, videos["a"].subject) == (10.0, 30.0, "s1")
    assert (videos["b"].duration_s, videos["b"].frame_rate) == (None, None)
    assert read_videos(path, frame_rate=200.0)["b"].duration_s == 2.0
    for lines, message in (
        (["name,fps", "a,0"], "row 1: has the frame_rate 0; expected a number above 0"),
        (["file", "a", "a"], "row 2: has the video 'a'; expected a name, and each one once"),
        (["fps", "1"], "has no column file; it has fps"),
    ):
        with pytest.raises(IntervalsError, match=message):
            read_videos(write(tmp_path / "bad.csv", *lines))


def test_frames_and_times_of_the_same_intervals_give_the_same_scores(tmp_path):
    video = make_busy_video()
    predicted = read(write(tmp_path / "intervals.csv", format_intervals([video], NAMES).rstrip()))
    coded = read(write(tmp_path / "a film.eaf", format_elan(video, tmp_path, now=NOW).rstrip()))
    lines = read(write(tmp_path / "intervals.jsonl", format_json_lines(video).rstrip()))
    for table in (predicted, lines):
        evaluation = evaluate_tables(table, coded)
        assert evaluation.scores["micro"].counts.f1 == 1.0
        assert "Times are compared as frames, at 50 frames per second." in evaluation.notes
        assert evaluation.provenance == "surrogate"
        assert evaluation.recognition[OVERALL].f1 == 1.0
    assert evaluation.scores.minutes == pytest.approx(1 / 6), "intervals.jsonl has the length"
    assert evaluation.kappa == pytest.approx(1.0)


# --- Agreement and durations.


def test_kappa_by_hand():
    # 25 steps of one frame; 5 both, 5 predicted only, 5 labelled only, 10 neither.
    scores = score_spotting({"a": parse("0-9")}, {"a": parse("5-14")}, durations_s={"a": 1.0})
    observed, expected = 15 / 25, (10 * 10 + 15 * 15) / 25**2
    assert compute_kappa(scores, {"a": 25.0}) == pytest.approx((observed - expected) / (1 - expected))
    nothing = score_spotting({"a": []}, {"a": []}, durations_s={"a": 1.0})
    assert math.isnan(compute_kappa(nothing, {"a": 25.0}))
    assert math.isnan(compute_kappa(score_spotting({"a": parse("0-9")}, {"a": []}), {"a": 25.0})), "no duration"


def test_durations_by_hand():
    scores = score_spotting({"a": parse("0-9 50-69")}, {"a": parse("0-9 20-24")})
    rows, bins = list_durations(scores, {"a": 50.0})
    assert [(row.group, row.number, row.shortest, row.median, row.longest) for row in rows] == [
        ("labels", 2, 0.1, pytest.approx(0.15), 0.2),
        ("labels found", 1, 0.2, 0.2, 0.2),
        ("predictions", 2, 0.2, pytest.approx(0.3), 0.4),
        ("false alarms", 1, 0.4, 0.4, 0.4),
    ]
    assert [(each.to_s, each.labels, each.found) for each in bins] == [(0.2, 2, 1)]
    rows, bins = list_durations(scores)
    assert (rows[0].longest, bins) == (10, [])


# --- The command.


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path, Path]:
    predicted = write(
        tmp_path / "p.csv",
        "file,onset_frame,offset_frame,type,score,emotion,provenance",
        "a.mp4,0,9,micro,.9,positive,surrogate",
        "a.mp4,20,60,macro,.8,negative,surrogate",
        "b.mp4,5,9,micro,.3,negative,surrogate",
    )
    truth = write(
        tmp_path / "t.csv",
        "video,onset,offset,type,emotion",
        "a,0,4,micro,Positive",
        "a,5,9,micro,positive",
        "a,22,60,macro,negative",
        "c,1,9,micro,negative",
    )
    videos = write(
        tmp_path / "v.csv", "file,num_frames,frame_rate,subject", "a,900,30,1", "b,900,30,2", "c,900,30,3", "d,900,30,3"
    )
    return predicted, truth, videos


def test_the_command_prints_and_writes(files, tmp_path, capsys):
    predicted, truth, videos = map(str, files)
    out = tmp_path / "out"
    command = ["score-spotting", predicted, truth, "--videos", videos, "--as-published", "--out", str(out)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.startswith("SURROGATE: rendered faces")
    for said in (
        "4 videos, 2.00 minutes, 3 people; IoU 0.5",
        "overall       4          3   2   1   2     0.6667  0.5000  0.5714",
        "Videos without a labelled expression: 2; false alarms in them: 1 in 1.00 minutes, 1.000 a minute",
        "percentile bootstrap over 4 videos, 2000 draws; too narrow",
        "FP 1 to 0: Videos without labels are skipped, with all of their false alarms.",
        "FN 2 to 1: People without any prediction are skipped, with all of their misses.",
        "Videos are compared by their names without folder and suffix, such as a.",
    ):
        assert said in text
    saved = json.loads((out / "spotting.json").read_text())
    assert saved["provenance"] == "SURROGATE"
    assert saved["scores"]["overall"]["f1"] == pytest.approx(4 / 7)
    assert saved["scores"]["micro"]["false_alarms_per_minute"] == 0.5
    assert saved["recognition"]["overall"]["strs"] == pytest.approx(4 / 7)
    assert [script["script"] for script in saved["published"]] == ["MEGC 2020", "STRS-Metric"]
    scores = list(csv.DictReader((out / "spotting.csv").read_text().splitlines()))
    assert {row["provenance"] for row in scores} == {"SURROGATE"}
    assert [row["f1"] for row in scores if (row["kind"], row["iou"]) == ("overall", "0.5")] == ["0.571429"]
    matches = list(csv.DictReader((out / "matches.csv").read_text().splitlines()))
    assert [(row["file"], row["outcome"]) for row in matches] == [
        ("a", "hit"), ("a", "hit"), ("a", "miss"), ("b", "false alarm"), ("c", "miss")
    ]  # fmt: skip
    assert {row["provenance"] for row in matches} == {"SURROGATE"}
    assert matches[3]["labelled_there"] == "nothing labelled"
    assert matches[1]["iou"] == f"{39 / 41:.4f}"

    assert main([*command[:5], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["published"] == []
    assert printed["scores"] == saved["scores"]


def test_the_command_without_videos_says_what_is_missing(files, capsys):
    predicted, truth, _ = map(str, files)
    assert main(["score-spotting", predicted, truth]) == 0
    text = capsys.readouterr().out
    assert "Not among the labels: 1 of 3 videos, such as b; every prediction there is a false alarm." in text
    assert "Not among the predictions: 1 of 3 videos, such as c; every label there is missed." in text
    assert "duration  in frames" in text
    assert "AP  FA/min" not in text
    assert "minutes" not in text


@pytest.mark.parametrize("stated", ["surrogate", "SURROGATE"])
def test_quiet_videos_of_rendered_people_mark_all_scores(tmp_path, stated):
    labels = read(write(tmp_path / "t.csv", "file,onset,offset,type", "a,0,9,micro"))
    videos = read_videos(write(tmp_path / "v.csv", "file,duration_s,provenance", "a,9,", f"quiet,9,{stated}"))
    assert evaluate_tables(labels, labels).provenance == "unstated"
    assert evaluate_tables(labels, labels, videos=videos).provenance == "surrogate"


def test_what_is_known_of_some_videos_only_is_said(files, tmp_path, capsys):
    predicted, truth, _ = map(str, files)
    part = write(tmp_path / "part.csv", "file,duration_s,subject", "a,10,s1", "b,,s2", "c,10,")
    notes = write(tmp_path / "notes.csv", "file,onset,offset,type,label", "a,0,9,micro,AU4")
    assert main(["score-spotting", predicted, truth, "--videos", str(part)]) == 0
    text = capsys.readouterr().out
    assert "Nothing over minutes: 1 of 3 videos have no duration_s, such as b." in text
    assert "Nothing over people: 1 of 3 videos have no subject, such as c." in text
    assert main(["score-spotting", predicted, str(notes)]) == 0
    assert "Emotions are not scored: predictions name negative, positive, and labels au4." in capsys.readouterr().out
    missed = write(tmp_path / "missed.csv", "file,onset,offset,type,label", "a,500,509,micro,positive")
    assert main(["score-spotting", predicted, str(missed)]) == 0
    assert "Emotions are not scored: no true positive has one in both files." in capsys.readouterr().out


def test_what_the_command_refuses(files, tmp_path, capsys):
    predicted, truth, videos = map(str, files)
    short = str(write(tmp_path / "short.csv", "file,frame_rate", "a,30"))
    other = str(write(tmp_path / "other.csv", "file,onset,offset,type", "z,1,2,micro"))
    twice = str(write(tmp_path / "twice.csv", "file,onset,offset,type", "a,1,2,micro", "a,1,2,micro"))
    times = str(write(tmp_path / "times.csv", "file,onset_s,end_s,type", "a,1,2,micro"))
    for arguments, message in (
        ([predicted, truth, "--iou", "2"], "got --iou 2; expected"),
        ([predicted, truth, "--frame_rate", "0"], "got --frame_rate 0; expected"),
        ([predicted, truth, "--tier", "smile"], "got --tier smile; expected NAME=KIND"),
        (
            [predicted, truth, "--tier", "smile=micro"],
            "no file has a tier or type of this name; known: 'macro', 'micro'",
        ),
        ([predicted, truth, "--videos", short], "--videos lacks 2 of 3 videos, such as 'b'"),
        ([predicted, other], "predictions and labels have no video in common: 'a.mp4' is in the first, 'z'"),
        ([predicted, twice], "label 1-2 (micro) of video 'a' is there twice"),
        ([predicted, times], "has 'a' in seconds, and the frame rate is not known"),
        ([predicted, truth, "--out", videos], "which is a file"),
    ):
        assert main(["score-spotting", *arguments]) == 1, arguments
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert main(["score-spotting", predicted, times, "--frame_rate", "30"]) == 0
