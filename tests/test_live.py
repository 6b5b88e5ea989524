"""`mer live`: real clips played as if live, real streams from a local server, real Ctrl-C."""

import http.server
import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from mer_jax.cli.main import main
from mer_jax.errors import ConfigError, DecodeError, ModelError
from mer_jax.prediction.clip import ClipReader
from mer_jax.prediction.live import LivePredictor
from mer_jax.prediction.live_session import LiveSession, wait_for_first
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.model_folder import write_model
from mer_jax.prediction.watching import spot_video
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import EXPRESSIONS
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.live_readers import StreamClock
from mer_jax.vision.live_source import LiveFrame, LiveSource
from mer_jax.vision.live_window import LiveWindow, draw_live
from mer_jax.vision.recent_frames import RecentFrames
from mer_jax.vision.video import VideoFrames
from tests.face_clips import EAGER, FACES, read_clip
from tests.toy_models import make_linear_model, make_network_model
from tests.video_files import numbered_frames, write_video

CLIP = FACES / "bbaf2n.mpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("models") / "toy", *make_linear_model()))


@pytest.fixture(scope="module")
def model():
    with TrainedModel(*make_linear_model()) as made:
        yield made


@pytest.fixture
def quick(monkeypatch):
    """Files are played at eight times their pace."""
    play = LiveSource.__init__
    monkeypatch.setattr(LiveSource, "__init__", lambda self, source, **more: play(self, source, pace=8.0, **more))


def read_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def push_all(predictor, frames, times):
    """Every frame, one after the other, so that none is dropped."""
    found = []
    for index, time_s in enumerate(times):
        found += predictor.push(LiveFrame(index, float(time_s), time.monotonic(), frames[index]))
    return found + predictor.finish()


# --- what is found


def test_movements_are_those_that_mer_predict_spots(model):
    with VideoFrames(CLIP) as frames:
        with FaceLandmarker() as landmarker:
            expected = spot_video(frames, landmarker, frames.time_s)
        with LivePredictor(model) as predictor:
            found = push_all(predictor, frames, frames.timestamps_s)
        assert {each.interval for each in found} == set(expected)
        assert {each.interval.kind for each in found} >= {"speech", "blink"}
        for each in found:
            assert each.onset_s == pytest.approx(frames.timestamps_s[each.interval.onset_frame])
            assert each.offset_s == pytest.approx(frames.timestamps_s[each.interval.offset_frame])
            assert each.known_s >= each.offset_s
            assert each.answer is None


def test_expressions_of_two_faces_are_classified_each_on_its_own_frames(model):
    one, other = read_clip("bbaf2n", 10, 50), read_clip("lbax4n", 10, 50)
    frames, times = ArrayFrames(np.concatenate([one, other], axis=2)), np.arange(40) / 25
    with FaceLandmarker() as landmarker:
        expected = spot_video(frames, landmarker, times.__getitem__, spotter=FaceSpotter(EAGER))
    with LivePredictor(model, EAGER) as predictor:
        found = push_all(predictor, frames, times)
    assert {each.interval for each in found} == set(expected)
    expressions = [each for each in found if each.interval.kind in EXPRESSIONS]
    assert {each.interval.face_id for each in expressions} == {0, 1}
    for each in expressions:
        interval, place = each.interval, expected[each.interval]
        assert place in ("1", "2")
        same = model.reader().predict_interval(
            frames, interval.onset_frame, interval.offset_frame, interval.apex_frame, face=place
        )
        assert each.answer == same


def test_an_expression_that_is_not_in_memory_any_more_gets_no_answer(model):
    frames, times = ArrayFrames(read_clip("bbaf2n", 0, 50)), np.arange(50) / 25
    with LivePredictor(model, EAGER) as predictor:
        predictor._recent = RecentFrames(0.1)
        found = push_all(predictor, frames, times)
    answers = [each.answer for each in found if each.interval.kind in EXPRESSIONS]
    assert answers
    assert all(each.label is None and "not in memory" in each.abstained[0] for each in answers)


def test_an_expression_that_cannot_be_prepared_abstains_and_the_session_goes_on(model, monkeypatch):
    frames, times = ArrayFrames(read_clip("bbaf2n", 0, 50)), np.arange(50) / 25

    def break_down(self, *arguments, **options):
        raise DecodeError("this frame is broken")

    with LivePredictor(model, EAGER) as predictor:
        monkeypatch.setattr(ClipReader, "predict_interval", break_down)
        found = push_all(predictor, frames, times)
    expressions = [each for each in found if each.interval.kind in EXPRESSIONS]
    assert expressions
    for each in expressions:
        assert (each.answer.label, each.answer.abstained) == (None, ("this frame is broken",))
        assert each.answer.onset_frame == each.interval.onset_frame


def test_what_was_opened_is_closed_if_the_model_fails_at_once(model, monkeypatch):
    closed = []
    monkeypatch.setattr(FaceLandmarker, "close", lambda self, close=FaceLandmarker.close: closed.append(close(self)))
    monkeypatch.setattr(TrainedModel, "warm_up", lambda self: (_ for _ in ()).throw(ModelError("too large")))
    with pytest.raises(ModelError, match="too large"):
        LivePredictor(model)
    assert len(closed) == 2, "those of the reader and of the predictor"
    assert not any(each.name.startswith("mer live") for each in threading.enumerate())


def test_a_model_of_prepared_clips_cannot_watch():
    with pytest.raises(ModelError, match="cannot prepare a video"):
        LivePredictor(TrainedModel(*make_network_model(vision=None)))


def test_memory_is_bounded_in_seconds_and_bytes():
    frame = np.zeros((4, 5, 3), np.uint8)
    recent, small = RecentFrames(1.0), RecentFrames(1.0, 3 * frame.nbytes)
    for number in range(0, 100, 2):  # every second one was dropped
        recent.add(number, number / 20, frame + number)
        small.add(number, number / 20, frame)
    assert recent.cut(76, 90) is None
    part = recent.cut(80, 90)
    assert part.numbers == (80, 82, 84, 86, 88, 90)
    assert part[-1][0, 0, 0] == part.gray(-1)[0, 0] == 90
    assert small.cut(92, 98) is None
    assert small.cut(94, 98).numbers == (94, 96, 98)
    assert (recent.held_s, small.held_s) == (None, pytest.approx(0.2))


def test_memory_that_is_too_small_is_said_once(folder, capsys, monkeypatch, quick):
    monkeypatch.setattr("mer_jax.prediction.live.RecentFrames", lambda kept_s: RecentFrames(kept_s, 11 * 360 * 288 * 3))
    assert main(["live", str(CLIP), "--model", folder]) == 0
    errors = capsys.readouterr().err
    assert errors.count("warning: only the last ") == 1  # how many seconds depends on the frames that were dropped
    assert "of frames fit into memory" in errors


# --- where frames come from


def take_all(source, frames):
    while not source.is_over:
        if (frame := source.take(0.2)) is not None:
            frames.append(frame)


def test_frames_are_dropped_and_counted_rather_than_late(tmp_path):
    write_video(tmp_path / "numbers.avi", numbered_frames(20), "MJPG")
    taken = []
    with LiveSource(str(tmp_path / "numbers.avi")) as source:
        while not source.is_over:
            if (frame := source.take(1.0)) is not None:
                assert time.monotonic() - frame.arrived_s < 0.1, "a frame that waited"
                taken.append(frame)
                time.sleep(0.13)  # more than three frames
    assert source.arrived == 20
    assert source.dropped == 20 - len(taken) > 8
    numbers = [frame.number for frame in taken]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19, "the last frame is not lost"
    for frame in taken:
        assert frame.time_s == pytest.approx(frame.number / 25, abs=1e-3)
        assert frame.picture.mean() == pytest.approx(20 + 10 * frame.number, abs=3)


def test_a_slow_analysis_sees_fewer_frames_and_the_session_says_so(model, quick):
    with LivePredictor(model) as predictor, LiveSource(str(CLIP)) as source:
        session = LiveSession(source, predictor, lambda each, latency_s: None)
        reason = session.run(wait_for_first(source), on_frame=lambda frame: time.sleep(0.03) is None)
    assert reason == "ended"
    assert source.dropped > 20
    assert session.analysed + source.dropped == source.arrived == 75
    assert session.processing.count == session.analysed


def test_a_file_that_ends_in_the_middle_is_one_error_after_its_frames(tmp_path):
    path = tmp_path / "cut.avi"
    write_video(path, list(np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)), "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = []
    with (
        LiveSource(str(path), pace=8.0) as source,
        pytest.raises(DecodeError, match=r"cut.avi is cut short: the header says 0.80 s, .* s are missing"),
    ):
        take_all(source, frames)
    assert 5 < source.arrived < 20


def test_a_camera_that_disappears_is_one_error_and_its_frames_have_their_time_of_arrival():
    frames = []
    with (
        LiveSource(f"camera:{CLIP}") as source,  # OpenCV reads a device by its path, and this one is soon used up
        pytest.raises(DecodeError, match=r"has stopped after \d\.\d s: unplugged, or taken by another program"),
    ):
        take_all(source, frames)
    assert source.arrived == 75
    assert frames[-1].time_s == pytest.approx(frames[-1].arrived_s - frames[0].arrived_s, abs=0.05)


def test_any_error_of_a_reader_is_a_failure_and_not_the_end():
    def read():
        yield 0.0, np.zeros((48, 64, 3), np.uint8)
        raise MemoryError("no room")

    frames, source = [], LiveSource(str(CLIP))
    source._open_pictures = read
    with source, pytest.raises(DecodeError, match=r"bbaf2n\.mpg cannot be decoded: MemoryError: no room"):
        take_all(source, frames)


def test_large_frames_are_shrunk(tmp_path):
    write_video(tmp_path / "large.avi", [np.zeros((1080, 1920, 3), np.uint8)] * 2, "MJPG")
    with LiveSource(str(tmp_path / "large.avi")) as source:
        assert wait_for_first(source).picture.shape == (540, 960, 3)


def test_a_stream_keeps_its_own_time_while_that_can_be_true():
    own, arrived = np.arange(6) / 25, 100 + np.arange(6) / 24
    clock = StreamClock()
    np.testing.assert_allclose([clock.tell(*each) for each in zip(own, arrived, strict=True)], own)
    slow = 100 + np.arange(60) / 5  # numbered at 25 a second, but they come at 5
    clock = StreamClock()
    told = np.array([clock.tell(*each) for each in zip(np.arange(60) / 25, slow, strict=True)])
    np.testing.assert_allclose(np.diff(told[-20:]), 0.2)
    assert (np.diff(told) > 0).all()
    clock = StreamClock()
    assert [clock.tell(0.0, at) for at in (5.0, 5.5, 6.0)] == [0.0, 0.5, 1.0], "no time of its own"


class Camera(http.server.SimpleHTTPRequestHandler):
    """`/clip` is the file; `/N/SECONDS` is a motion JPEG stream of N frames that then hangs so long."""

    def do_GET(self):
        if self.path == "/clip":
            content = CLIP.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        number, seconds = self.path.strip("/").split("/")
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        for frame in self.server.pictures[: int(number)]:
            self.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(frame))
            self.wfile.write(frame + b"\r\n")
            time.sleep(0.1)
        self.server.is_done.wait(float(seconds))

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        server.is_done = threading.Event()
        server.handle_error = lambda *arguments: None  # a reader that has gone away
        server.pictures = [cv2.imencode(".jpg", each[..., ::-1])[1].tobytes() for each in read_clip("bbaf2n", 0, 40)]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.is_done.set()
        server.shutdown()


def test_a_file_on_a_server_is_played_at_its_own_pace(address):
    frames, start = [], time.monotonic()
    with LiveSource(f"{address}/clip", timeout_s=5) as source:
        take_all(source, frames)
    assert source.arrived == 75
    assert time.monotonic() - start > 2.9
    assert frames[-1].time_s == pytest.approx(frames[-1].number / 25, abs=0.01)


def test_frames_of_a_motion_jpeg_stream_have_their_time_of_arrival(address):
    frames = []
    with (
        LiveSource(f"{address}/8/0", timeout_s=5) as source,
        pytest.raises(DecodeError, match=r"http://me:\*\*\*@.* has stopped: the stream has ended"),
    ):
        take_all(source, frames)
    apart_s = (frames[-1].time_s - frames[0].time_s) / (frames[-1].number - frames[0].number)
    assert apart_s > 0.09, "a tenth of a second, and not a twenty-fifth"


def test_a_stream_that_stalls_ends_with_one_line_and_the_end_record(address, folder, tmp_path, capfd):
    out = tmp_path / "live.jsonl"
    assert main(["live", f"{address}/12/30", "--model", folder, "--timeout", "1", "--out", str(out)]) == 1
    lines, errors = read_lines(out.read_text()), capfd.readouterr().err
    assert errors.splitlines()[-1].startswith("error: http://me:***@")
    assert "has stalled: no frame for 1 s (--timeout)" in errors
    assert errors.count("stalled") == 1
    assert "Traceback" not in errors
    assert "[ WARN" not in errors
    assert (lines[0]["type"], lines[-1]["type"]) == ("begin", "end")
    assert "has stalled" in lines[-1]["reason"]
    assert lines[-1]["frames"] == 12
    assert "secret" not in out.read_text() + errors


# --- mer live


def test_lines_of_a_clip(folder, capsys):
    assert main(["live", str(CLIP), "--model", folder]) == 0
    printed = capsys.readouterr()
    begin, *movements, end = read_lines(printed.out)
    assert begin["type"] == "begin"
    assert (begin["model"], begin["provenance"], begin["width"], begin["height"]) == ("toy", "SURROGATE", 360, 288)
    assert "neither a lie nor a feeling" in " ".join(begin["use"])
    assert end["type"] == "end"
    assert end["reason"] == "the source has ended"
    assert end["analysed"] + end["dropped"] == end["frames"] == 75
    assert end["intervals"] == len(movements)
    assert end["frame_to_analysed_ms"]["count"] == end["analysed"]
    for each in movements:
        assert each["type"] == "interval"
        assert each["onset_s"] <= each["apex_s"] <= each["offset_s"] <= each["known_s"]
        assert each["provenance"] == "SURROGATE"
    assert "speech" in {each["kind"] for each in movements}
    assert "dropped, frame to analysed" in printed.err
    assert "(SURROGATE)" in printed.err
    assert "article 5(1)(f)" in printed.err
    assert printed.err.splitlines()[-1].endswith("the source has ended")


def test_a_fault_in_the_last_seconds_still_writes_the_end_record(folder, capsys, monkeypatch, quick):
    def fail(self):
        raise DecodeError("no answer any more")

    monkeypatch.setattr(LivePredictor, "finish", fail)
    assert main(["live", str(CLIP), "--model", folder]) == 1
    printed = capsys.readouterr()
    assert read_lines(printed.out)[-1]["reason"] == "no answer any more"
    assert printed.err.splitlines()[-1] == "error: no answer any more"


def test_a_folder_that_cannot_be_written_is_refused_before_the_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)  # root may write everywhere
    assert main(["live", str(CLIP), "--model", "nowhere", "--out", str(tmp_path / "x.jsonl")]) == 1
    assert f"the folder {tmp_path} cannot be written to" in capsys.readouterr().err


def test_ctrl_c_ends_with_the_end_record(folder, tmp_path, capsys):
    out = tmp_path / "live.jsonl"

    def interrupt():
        while not out.exists():
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["live", str(CLIP), "--model", folder, "--out", str(out)]) == 130
    thread.join()
    assert signal.getsignal(signal.SIGINT) is handler
    lines = read_lines(out.read_text())
    assert (lines[0]["type"], lines[-1]["type"], lines[-1]["reason"]) == ("begin", "end", "interrupted")
    assert 0 < lines[-1]["frames"] < 75
    assert "interrupted" in capsys.readouterr().err


def test_no_face_is_said_once_and_seconds_end_it(folder, tmp_path, capsys, quick):
    write_video(tmp_path / "nobody.avi", [np.full((96, 128, 3), 128, np.uint8)] * 80, "MJPG", fps=5.0)
    assert main(["live", str(tmp_path / "nobody.avi"), "--model", folder, "--seconds", "1.5"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("no face for 5 s, at 5.") == 1
    _, end = read_lines(printed.out)
    assert end["reason"] == "--seconds have passed"
    assert end["intervals"] == 0


def test_nothing_is_kept_without_out(folder, tmp_path, monkeypatch, capsys, quick):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert main(["live", str(CLIP), "--model", folder]) == 0
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4"], "nowhere.mp4 does not exist; expected a video, an address such as rtsp"),
        ([str(FACES)], "is a folder; expected a video"),
        ([str(FACES / "README.md")], "cannot be opened as a video: it is a text file"),
        (["ftp://example.org/x"], "an address with ftp; expected one of rtsp"),
        (["http://me:secret@127.0.0.1:1/x"], "me:***@127.0.0.1:1/x cannot be opened: no video comes from this address"),
        (["camera:99"], "camera:99 cannot be opened: it does not exist"),
        ([str(CLIP), "--seconds", "0"], "got --seconds 0; expected seconds, above 0"),
        ([str(CLIP), "--timeout", "nan"], "got --timeout nan; expected seconds"),
        ([str(CLIP), "--out", "/nowhere/x.jsonl"], "there is no folder /nowhere; create it first"),
        ([str(CLIP), "--out", str(CLIP)], "which exists; expected the name of a new file"),
        ([str(CLIP), "--window"], "got --window, but there is no display"),
        ([str(CLIP), "--model", "nowhere"], "there is no model 'nowhere'"),
    ],
)
def test_mistakes_are_one_line(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["live", "--model", folder, *arguments]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_display_that_does_not_answer_is_one_error(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match="OpenCV cannot open one: the display does not answer"):
        LiveWindow()


def test_the_picture_of_the_window_has_boxes_and_captions():
    frame = np.zeros((60, 200, 3), np.uint8)
    picture = draw_live(frame, [("face 0", (10.0, 20.0, 50.0, 50.0))], ["SURROGATE toy", "é"])
    assert picture.shape == (126, 200, 3)
    assert picture[20, 30].any()
    assert (picture[60:] < 100).any()
    assert not frame.any(), "the frame itself is not drawn into"


def test_sources_have_no_password_in_their_name():
    assert LiveSource("camera:0").name == "camera:0"
    assert LiveSource("rtsp://a:b@c/d").name == "rtsp://a:***@c/d"
    assert LiveSource("camera:rtsp://a:b@c/d").name == "camera:rtsp://a:***@c/d"
    hidden = "http://c/v?user=a&pwd=***&loginpas=***&X-Token=***;api_key=***&fps=2#x"
    assert LiveSource(hidden.replace("***", "secret")).name == hidden
