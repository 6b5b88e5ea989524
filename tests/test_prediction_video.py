"""From a video to an answer: real faces, real files, real damage."""

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mer_jax
from mer_jax.cli.main import main
from mer_jax.errors import ConfigError, DecodeError, ModelError
from mer_jax.prediction import watching
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.model_folder import write_model
from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import predict_interval, predict_video, read_times, watch_faces
from mer_jax.prediction.watching import spot_and_predict, spot_video
from mer_jax.report.prediction import list_files
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import Interval, parse_interval
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.prepare import prepare_clip
from mer_jax.vision.video import VideoFrames
from tests.face_clips import EAGER, FACES, read_clip
from tests.toy_models import describe_linear, make_linear_model, make_network_model

CLIP = FACES / "bbaf2n.mpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "toy", *make_network_model())


@pytest.fixture(scope="module")
def model(folder):
    with mer_jax.load(folder) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def frames():
    return read_clip("bbaf2n", 0, 30)


def write_film(path, pictures, rate=25.0):
    """A short film that OpenCV can read."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (width, height))
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
    return path


# --- one clip


def test_a_video_is_answered_as_its_prepared_faces(model):
    answer = model.predict(CLIP, onset=10, offset=30)
    assert (answer.onset_frame, answer.offset_frame, answer.verdict) == (10, 30, "ok")
    assert answer.frames_used[0] == 10
    assert answer.frames_used[-1] == 30
    with FaceLandmarker() as landmarker:
        prepared = prepare_clip(ArrayFrames(read_clip("bbaf2n", 10, 31)), model.description.vision, landmarker)
    same = model.predict(prepared.faces)
    np.testing.assert_allclose(list(answer.probabilities.values()), list(same.probabilities.values()), atol=1e-6)
    left, top, right, bottom = answer.face_box
    assert 0 < left < right < 360
    assert 0 < top < bottom < 288


def test_frames_in_memory_are_answered_as_the_video(model, frames):
    expected = model.predict(CLIP, onset=0, offset=29)
    assert model.predict(frames).probabilities == expected.probabilities
    gray = np.stack([cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in frames])
    assert model.predict(gray, onset=3, offset=20).verdict == "ok"


def test_motion_features_of_a_video_are_those_of_its_onset_and_apex(frames):
    from mer_jax.data.motion import quantize
    from mer_jax.vision.flow import motion_features

    linear = TrainedModel(*make_linear_model())
    answer = linear.predict(frames, apex=12)
    assert 12 in answer.frames_used
    with FaceLandmarker() as landmarker:
        prepared = prepare_clip(ArrayFrames(frames), describe_linear().vision, landmarker, apex=12)
    motion = quantize(motion_features(prepared.faces[0], prepared.faces[4]))
    same = linear.predict(motion)
    assert answer.probabilities == same.probabilities
    assert linear.predict(prepared.faces).probabilities == same.probabilities


def test_no_face_is_an_answer_that_abstains(model):
    answer = model.predict(np.full((12, 120, 160, 3), 128, np.uint8))
    assert (answer.label, answer.best_guess, answer.verdict, answer.probabilities) == (None, None, "fail", {})
    assert "no face" in answer.abstained[0]


def test_a_still_picture_abstains(model, frames):
    answer = model.predict(np.repeat(frames[:1], 12, axis=0))
    assert answer.label is None
    assert answer.best_guess is not None
    assert any("same picture" in reason for reason in answer.abstained)


@pytest.mark.parametrize(
    ("onset", "offset", "apex"), [(5, 5, None), (9, 3, None), (0, 400, None), (5, 9, 20), (-1, 5, None)]
)
def test_frames_that_the_clip_does_not_have(model, frames, onset, offset, apex):
    with pytest.raises(ConfigError, match=r"got the (interval|apex)"):
        model.predict(frames, onset=onset, offset=offset, apex=apex)


def test_model_of_prepared_clips_or_another_preparation_takes_no_video():
    with pytest.raises(ModelError, match="cannot prepare a video"):
        TrainedModel(*make_network_model(vision=None)).predict(CLIP)
    with pytest.raises(ModelError, match="preparation version 1; this is version"):
        TrainedModel(*make_network_model(vision_version=1)).predict(CLIP)


# --- one video


def test_intervals_are_read_in_frames_and_in_seconds():
    times = np.arange(100) / 25
    assert parse_interval("10-20", times) == Interval(onset_frame=10, offset_frame=20)
    assert parse_interval("0.4s-0.84s", times) == Interval(onset_frame=10, offset_frame=21)
    for text, message in (
        ("ten", "expected frames"),
        ("20-10", "onset before"),
        ("0-100", "from 0 to 99"),
        ("1s-.s", "exp"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_interval(text, times)


def test_times_are_those_of_the_file_or_of_a_stated_rate(frames):
    with VideoFrames(CLIP) as video:
        assert read_times(video)[1] == pytest.approx(0.04)
    with pytest.raises(ConfigError, match="--frame_rate 200"):
        read_times(ArrayFrames(frames))
    assert read_times(ArrayFrames(frames), 200.0)[2] == 0.01


def test_longer_than_an_expression_is_no_clip(model, frames):
    slow = predict_video(model, ArrayFrames(frames), name="x", path="/x", times_s=np.arange(30) * 1.0)
    (interval,) = slow.intervals
    assert interval.prediction.label is None
    assert "one expression lasts 4 s at most" in interval.prediction.abstained[-1]
    assert interval.prediction.best_guess


def test_faces_are_followed_and_numbered(frames):
    two = np.concatenate([frames[:6], frames[:6, :, ::-1]], axis=2)
    two[3:5, :, :360] = 0
    with FaceLandmarker() as landmarker:
        seen = [faces for *_, faces in watch_faces(ArrayFrames(two), landmarker, lambda index: index / 20)]
    assert [[face.face_id for face in faces] for faces in seen[:3]] == [[0, 1]] * 3
    assert [len(faces) for faces in seen] == [2, 2, 2, 1, 1, 2]
    assert [face.face_id for face in seen[5]] == [0, 1], "who comes back keeps the number"
    assert seen[0][0].motion is None
    assert seen[1][0].motion > 0


def test_fast_videos_are_searched_in_some_frames_and_hold_the_box(frames):
    with FaceLandmarker() as landmarker:
        seen = [faces for *_, faces in watch_faces(ArrayFrames(frames[:9]), landmarker, lambda index: index / 100)]
        uneven = np.array([0.0, 0.01, 0.02, 0.5, 0.51, 0.52])
        slow = [faces for *_, faces in watch_faces(ArrayFrames(frames[:6]), landmarker, uneven.__getitem__)]
    assert [faces[0].is_detected for faces in seen] == [index % 8 == 0 for index in range(9)]
    assert seen[1][0].box == seen[0][0].box
    assert [faces[0].is_detected for faces in slow] == [True, False, False, True, False, False]


def test_cells_of_the_notebook_run(monkeypatch, capsys):
    root = Path(__file__).parents[1]
    monkeypatch.chdir(root)
    notebook = json.loads((root / "docs" / "predict.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"cell {number}", "exec"), names)
    assert len(cells) >= 5
    assert "SURROGATE" in capsys.readouterr().out
    assert names["answer"].verdict == "ok"


# --- mer predict


@pytest.fixture(scope="module")
def predicted(folder, tmp_path_factory):
    """Two files, one of them not to be read, in one call."""
    out = tmp_path_factory.mktemp("out")
    films = tmp_path_factory.mktemp("films")
    shutil.copy(CLIP, films / "bb af.mpg")
    write_film(films / "nothing.avi", [np.full((96, 128, 3), 128, np.uint8)] * 12)
    (films / "broken.mp4").write_bytes(b"\0" * 900)
    done = subprocess.run(
        [sys.executable, "-m", "mer_jax.cli.main", "predict", str(films), "--model", str(folder), "--out", str(out)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    return done, out, films


def test_every_promised_file_is_there_and_faults_are_one_line(predicted):
    done, out, _ = predicted
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "broken.mp4" in done.stderr.splitlines()[-1]
    assert "VP80" not in done.stderr
    row, count = done.stdout.splitlines()[:2]
    assert row.startswith("bb af.mpg:     0.000 to     3.000 s  SURROGATE clip  ")
    assert count == "bb af.mpg: 1 interval"
    assert "nothing.avi: 1 interval; no face in any of " in done.stdout
    assert "SURROGATE" in done.stdout
    for name, stem in (("bb af.mpg", "bb af"), ("nothing.avi", "nothing")):
        assert sorted(path.name for path in (out / name).iterdir()) == sorted([*list_files(stem), "done.json"])
        assert all(path.stat().st_size for path in (out / name).iterdir())
    assert {path.name for path in out.iterdir()} == {
        "bb af.mpg", "nothing.avi", "intervals.csv", "intervals.jsonl", "report.html",
    }  # fmt: skip


def test_tables_hold_every_frame_and_interval(predicted):
    _, out, _ = predicted
    with (out / "bb af.mpg" / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(index) for index in range(75)]
    assert {row["success"] for row in rows} == {"1"}
    assert float(rows[-1]["timestamp"]) == pytest.approx(74 / 25)
    with (out / "nothing.avi" / "frames.csv").open(newline="") as file:
        assert {row["success"] for row in csv.DictReader(file)} == {"0"}
    with (out / "intervals.csv").open(newline="") as file:
        together = list(csv.DictReader(file))
    assert [row["file"] for row in together] == ["bb af.mpg", "nothing.avi"]
    assert together[1]["verdict"] == "fail"
    assert "no face" in together[1]["abstained"]
    lines = [json.loads(line) for line in (out / "intervals.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["video", "interval"] * 2


def test_overlay_plays_and_has_every_frame(predicted):
    with VideoFrames(predicted[1] / "bb af.mpg" / "overlay.webm") as overlay:
        assert len(overlay) == 75
        assert overlay[40].shape == (296, 320, 3)
        assert overlay.timestamps_s[-1] == pytest.approx(74 / 25, abs=0.02)


def test_use_stands_in_every_report(predicted):
    _, out, _ = predicted
    for path in (out / "report.html", out / "bb af.mpg" / "report.html", out / "nothing.avi" / "README.txt"):
        text = path.read_text()
        assert "article 5(1)(f)" in text
        assert "neither a lie nor a feeling" in text
        assert "SURROGATE" in text
        assert "http://" not in text
    assert "broken.mp4" in (out / "report.html").read_text()
    assert len(usage_notes("licensed", spotted=True)) == 3


def test_what_is_done_is_not_done_again(predicted, folder, capsys):
    _, out, films = predicted
    before = {path: path.stat().st_mtime_ns for path in out.rglob("frames.csv")}
    assert main(["predict", str(films / "bb af.mpg"), "--model", str(folder), "--out", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("frames.csv")} == before
    (out / "bb af.mpg" / "bb af.vtt").unlink()
    assert main(["predict", str(films / "bb af.mpg"), "--model", str(folder), "--out", str(out)]) == 0
    assert (out / "bb af.mpg" / "bb af.vtt").exists()
    capsys.readouterr()


def test_intervals_and_folders_of_frames(folder, tmp_path, frames, capsys):
    pictures = tmp_path / "clip"
    pictures.mkdir()
    for index, frame in enumerate(frames[:20]):
        cv2.imwrite(str(pictures / f"img{index}.png"), frame[..., ::-1])
    arguments = ["predict", str(pictures), "--model", str(folder), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "expected --frame_rate" in capsys.readouterr().err
    more = ["--frame_rate", "100", "--interval", "0-9", "--interval", "0.1s-0.2s", "--no-overlay"]
    assert main([*arguments, *more]) == 0
    with (tmp_path / "out" / "clip" / "intervals.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["onset_frame"], row["offset_frame"], row["type"]) for row in rows] == [
        ("0", "9", "given"), ("10", "19", "given"),
    ]  # fmt: skip
    assert not (tmp_path / "out" / "clip" / "overlay.webm").exists()
    capsys.readouterr()


def test_longer_videos_are_spotted(folder, tmp_path, capsys):
    talk = read_clip("lbax4n")
    write_film(tmp_path / "talk.avi", [*talk, *talk[::-1]])
    write_film(tmp_path / "nothing.avi", [np.full((96, 128, 3), 128, np.uint8)] * 120)
    arguments = ["predict", str(tmp_path), "--model", str(folder), "--out", str(tmp_path / "out"), "--no-overlay"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "nothing.avi: 0 intervals; no face in any of 120 frames"
    assert lines[1].startswith("talk.avi: 0 intervals, ")
    assert "1 speech" in lines[1]
    for name in ("nothing", "talk"):
        written = {path.name for path in (tmp_path / "out" / f"{name}.avi").iterdir()}
        assert written == {*list_files(name, overlay=False), "done.json"}
    with (tmp_path / "out" / "intervals.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (speech,) = (row for row in rows if row["type"] == "speech")
    assert (speech["label"], speech["p_negative"], speech["abstained"]) == ("", "", "speech: not classified")
    assert int(speech["offset_frame"]) - int(speech["onset_frame"]) > 100
    assert "217 false alarms for 6 hits" in (tmp_path / "out" / "talk.avi" / "report.html").read_text()
    with (tmp_path / "out" / "talk.avi" / "frames.csv").open(newline="") as file:
        frames = list(csv.DictReader(file))
    assert len(frames) == 150
    assert frames[75]["interval"] != ""


def test_a_video_that_lies_on_its_side_is_turned_once(tmp_path, capsys):
    vision = dataclasses.replace(describe_linear().vision, turn="90")
    folder = write_model(tmp_path / "turned", *make_linear_model(vision=vision))
    lying = [np.rot90(each) for each in read_clip("bbaf2n", 0, 40)]  # counterclockwise
    write_film(tmp_path / "lying.avi", lying)
    for how in ("--spot", "--whole"):
        arguments = [str(tmp_path / "lying.avi"), "--model", str(folder), "--out", str(tmp_path / how[2:]), how]
        assert main(["predict", *arguments]) == 0
        with (tmp_path / how[2:] / "lying.avi" / "frames.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["success"] for row in rows} == {"1"}
        with VideoFrames(tmp_path / how[2:] / "lying.avi" / "overlay.webm") as overlay:
            height, width = overlay[0].shape[:2]
            assert width > height
    (line,) = (tmp_path / "whole" / "lying.avi" / "intervals.jsonl").read_text().splitlines()[1:]
    assert json.loads(line)["answer"]["verdict"] == "ok"
    capsys.readouterr()


def test_a_reader_of_upright_frames_does_not_turn_them(frames):
    vision = dataclasses.replace(describe_linear().vision, turn="90")
    turned = TrainedModel(*make_linear_model(vision=vision))
    with contextlib.closing(turned.reader(turn="none")) as reader:
        upright = reader.predict_interval(ArrayFrames(frames), 0, 29, 12)
    lying = np.ascontiguousarray(np.rot90(frames, axes=(1, 2)))
    assert turned.predict(lying, apex=12).probabilities == upright.probabilities
    assert upright == TrainedModel(*make_linear_model()).predict(frames, apex=12)


def test_spotted_expressions_are_classified_and_other_movements_are_not(model):
    micro = Interval(onset_frame=10, apex_frame=20, offset_frame=30, kind="micro", score=2.0)
    speech = Interval(onset_frame=12, offset_frame=60, kind="speech", score=3.0)
    with VideoFrames(CLIP) as film:
        asked, passed = (
            predict_interval(model.reader(), film, each, film.time_s, frame_s=0.04) for each in (micro, speech)
        )
    assert asked.prediction.probabilities == pytest.approx(
        dict(model.predict(CLIP, onset=10, apex=20, offset=30).probabilities), abs=0.02
    )
    assert (asked.onset_s, asked.apex_s, asked.end_s) == pytest.approx((0.4, 0.8, 1.24))
    assert (asked.is_classified, passed.is_classified, passed.text) == (True, False, "speech")
    assert passed.prediction.probabilities == {}


class Film(ArrayFrames):
    """Frames 25 times a second, of which it is noted which was read last."""

    last = -1

    def __getitem__(self, index):
        self.last = max(self.last, int(index))
        return super().__getitem__(index)

    def time_s(self, index):
        return index / 25


@pytest.mark.parametrize("kept", [0, 2**29])
def test_expressions_have_their_answer_while_the_video_is_read(model, monkeypatch, kept):
    """Whether the frames of an expression are still in memory, or have to be read again."""
    monkeypatch.setattr(watching, "_PASS_BYTES", kept)
    talk = read_clip("bbaf2n")
    film = Film(np.concatenate([talk, talk[::-1], talk, talk[::-1]]))
    with FaceLandmarker() as landmarker:
        expected = spot_video(film, landmarker, film.time_s, spotter=FaceSpotter(EAGER))
    film.last, read, watched = -1, [], []
    video = spot_and_predict(
        model, film, film.time_s, name="x", path="/x", spotter=FaceSpotter(EAGER),
        on_frame=lambda time_s, frame, faces: watched.append(time_s), on_interval=lambda each: read.append(film.last),
    )  # fmt: skip
    assert [each.interval for each in video.intervals] == list(expected)
    assert watched == [index / 25 for index in range(300)]
    assert (video.duration_s, video.spotted, len(read)) == (pytest.approx(12.0), True, len(expected))
    assert read[0] < 200, "the first interval is known long before the end"
    asked = [each for each in video.intervals if each.is_classified]
    assert asked
    for each in asked:
        own, reader = each.interval, model.reader()
        assert each.prediction == reader.predict_interval(film, own.onset_frame, own.offset_frame, own.apex_frame)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([str(CLIP), "--interval", "1-9", "--spot"], "expected one of them"),
        (["https://example.org/x.mp4"], "is an address"),
        (["rtsp://me:secret@host/x?pwd=secret"], "rtsp://me:***@host/x?pwd=*** is an address"),
        (["camera:0"], "is an address or a camera"),
        (["nowhere.mp4"], "does not exist"),
        (["*.nothing"], "matches no file"),
        ([str(CLIP), "--spot", "--face", "1"], "got --face with spotting, which follows every face; expected --whole"),
        ([str(CLIP), "--interval", "70-90"], "expected an onset before an offset, both from 0 to 74"),
        ([str(FACES), "--interval", "1-9"], "with 3 videos; expected one"),
        ([str(CLIP), "--frame_rate", "0"], "got --frame_rate 0"),
        ([str(CLIP), "--model", "nowhere"], "there is no model 'nowhere'"),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, capsys, arguments, message):
    assert main(["predict", "--model", str(folder), "--out", str(tmp_path / "out"), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") <= 2  # with the line of progress
    page = tmp_path / "out" / "report.html"
    assert "secret" not in error + (page.read_text() if page.exists() else "")


def test_out_that_cannot_be_written(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main(["predict", str(CLIP), "--model", str(folder), "--out", str(tmp_path / "file")]) == 1
    assert "which is a file" in capsys.readouterr().err


def test_sound_alone_and_a_cut_file(folder, tmp_path, capsys):
    (tmp_path / "sound.wav.mp4").write_bytes(b"RIFF\x24\0\0\0WAVEfmt " + bytes(100))
    (tmp_path / "cut.mpg").write_bytes(CLIP.read_bytes()[:400])
    assert main(["predict", str(tmp_path), "--model", str(folder), "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert sum("sound.wav.mp4 (116 bytes) cannot be opened" in line for line in lines) == 1
    assert sum("cut.mpg" in line for line in lines) == 2  # progress, and the fault
    assert (tmp_path / "out" / "report.html").exists()


def test_a_file_that_ends_in_the_middle_is_predicted_and_is_a_fault(folder, tmp_path, capsys):
    film = write_film(tmp_path / "cut.avi", read_clip("bbaf2n", 0, 40))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    arguments = ["predict", str(film), "--model", str(folder), "--out", str(tmp_path / "out"), "--no-overlay"]
    for _ in range(2):  # the second time, it is done
        assert main(arguments) == 1
        printed = capsys.readouterr()
        assert "cut.avi: cut short: the header says 1.60 s, the frames that can be decoded last 0." in printed.err
        assert "s are missing; the results are of the rest" in printed.err
        assert printed.out.startswith("cut.avi:     0.000 to ")
        assert "cut.avi: 1 interval\n" in printed.out
    assert "cut short" in (tmp_path / "out" / "report.html").read_text()


def test_a_file_that_grows_is_not_done(folder, tmp_path, capsys, monkeypatch):
    import mer_jax.report.prediction as pages

    film = shutil.copy(CLIP, tmp_path / "film.mpg")
    write = pages.write_video

    def write_and_grow(*arguments, **options):
        with open(film, "ab") as file:
            file.write(b"more")
        return write(*arguments, **options)

    monkeypatch.setattr(pages, "write_video", write_and_grow)
    arguments = ["predict", str(film), "--model", str(folder), "--out", str(tmp_path / "out"), "--no-overlay"]
    assert main(arguments) == 1
    assert "changed while it was read" in capsys.readouterr().err
    assert not (tmp_path / "out" / "film.mpg" / "done.json").exists()


def test_one_frame_is_no_clip(model):
    with pytest.raises(DecodeError, match="expected a clip of 2 or more"):
        predict_video(model, ArrayFrames(np.zeros((1, 64, 64), np.uint8)), name="x", path="/x", times_s=np.zeros(1))


@pytest.fixture
def in_the_middle(monkeypatch):
    """Something that happens once, at the third frame whose faces are noted."""
    from mer_jax.report.face_log import FaceLog

    add, happens = FaceLog.add, []

    def add_and_happen(log, time_s, faces):
        if log.num_frames == 2 and happens:
            happens.pop()()
        add(log, time_s, faces)

    monkeypatch.setattr(FaceLog, "add", add_and_happen)
    return happens.append


def test_what_is_removed_in_the_middle_is_one_line(folder, in_the_middle, tmp_path, capsys):
    film, other = (write_film(tmp_path / name, read_clip("bbaf2n", 0, 5)) for name in ("film.avi", "other.avi"))
    out = tmp_path / "out"
    arguments = ["predict", str(film), str(other), "--model", str(folder), "--out", str(out), "--no-overlay"]
    in_the_middle(lambda: shutil.rmtree(out))
    assert main(arguments) == 1
    assert f"is gone: --out {out} was removed while it was written; run again" in capsys.readouterr().err
    in_the_middle(film.unlink)
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert f"error: film.avi: {film} was removed or renamed in the meantime" in printed.err
    assert "other.avi: 1 interval" in printed.out, "the other one is predicted"


def test_an_interrupt_leaves_no_part_and_the_same_command_goes_on(folder, in_the_middle, tmp_path, capsys):
    def interrupt():
        raise KeyboardInterrupt

    film, out = write_film(tmp_path / "film.avi", read_clip("bbaf2n", 0, 5)), tmp_path / "out"
    arguments = ["predict", str(film), "--model", str(folder), "--out", str(out)]
    in_the_middle(interrupt)
    assert main(arguments) == 130
    assert list((out / "film.avi").iterdir()) == []
    assert main(arguments) == 0
    assert sorted(path.name for path in (out / "film.avi").iterdir()) == sorted([*list_files("film"), "done.json"])
    assert "interrupted" in capsys.readouterr().err


# Files of more than 20 kB cannot be written; the pipe is closed after the first line.
TROUBLED = """
import resource, sys
from mer_jax.cli.main import main
if "--limit" in sys.argv:
    sys.argv.remove("--limit")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_one_line_and_leaves_no_part(folder, tmp_path):
    film, out = write_film(tmp_path / "film.avi", read_clip("bbaf2n")), tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", TROUBLED, "predict", str(film), "--model", str(folder), "--out", str(out), "--limit"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large; make room or choose another folder, then run again" in done.stderr.splitlines()[-1]
    written = {path.name for path in (out / "film.avi").iterdir()}
    assert not [name for name in written if name.startswith(".") or name in ("overlay.webm", "done.json")]


def test_results_are_complete_when_nobody_reads_what_is_printed(folder, tmp_path):
    for name in ("one.avi", "two.avi"):
        write_film(tmp_path / name, read_clip("bbaf2n", 0, 5))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", TROUBLED, "predict", str(tmp_path), "--model", str(folder), "--out", str(out),
         "--no-overlay"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert "Traceback" not in error
    assert (out / "two.avi" / "done.json").exists()
    assert (out / "report.html").exists()
