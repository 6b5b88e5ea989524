"""Motion curve, face log and overlay of a video."""

import errno

import numpy as np
import pytest

from mer_jax.prediction.video import WatchedFace
from mer_jax.report.face_log import FaceLog
from mer_jax.report.overlay_file import OVERLAY, OverlayFile
from mer_jax.report.timeline import MotionCurve
from mer_jax.vision.video import VideoFrames
from tests.toy_models import describe_linear
from tests.toy_videos import make_interval


@pytest.mark.parametrize("seconds", [1, 5, 7, 90, 7200])
def test_a_motion_curve_keeps_the_largest_motion_of_each_place(seconds):
    times = np.arange(0, seconds, max(1 / 30, seconds / 20_000))
    motions = np.random.default_rng(0).random(len(times))
    peak = len(times) * 2 // 3
    motions[peak] = 9
    curve = MotionCurve()
    for time_s, motion in zip(times, motions, strict=True):
        curve.add(3, float(time_s), float(motion))
    ((face_id, at_s, values),) = curve.lines()
    assert face_id == 3
    assert len(at_s) <= min(1500, len(times))
    assert np.all(np.diff(at_s) > 0)
    assert at_s[values.argmax()] == pytest.approx(times[peak], abs=seconds / 740 + 1 / 256)
    width = np.diff(at_s).min()
    for place, value in zip(at_s, values, strict=True):
        inside = (times >= place - width / 2 - 1e-9) & (times < place + width / 2 - 1e-9)
        assert value == motions[inside].max()


def test_faces_come_back_frame_by_frame(tmp_path):
    face = WatchedFace(0, (1.0, 2.0, 30.0, 40.0), True, 1.5)
    with FaceLog(tmp_path) as log:
        for time_s, faces in ((0.0, (face,)), (0.04, ()), (0.08, (face, face))):
            log.add(time_s, faces)
        assert log.num_frames == 3
        for _ in range(2):
            assert [(index, len(faces)) for index, faces in log.frames()] == [(0, 1), (1, 0), (2, 2)]
        assert next(log.frames())[1][0].box == face.box
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_log(tmp_path):
    class Full:
        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    def fill():
        with FaceLog(tmp_path) as log:
            log._file.close()
            log._file = Full()

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


def has_caption(frame):
    """Whether the caption line below the picture has text, in the highlight colour."""
    strip = frame[-20:].astype(int)
    return bool((strip[..., 0] - strip[..., 2] > 60).any())


@pytest.mark.parametrize(("wait_s", "told_at"), [(0.0, 0), (2.0, 30), (9.0, 60)])
def test_captions_stand_on_the_frames_of_an_interval_that_is_found_later(tmp_path, wait_s, told_at):
    face = WatchedFace(0, (100.0, 50.0, 300.0, 250.0), True, None)
    with OverlayFile(tmp_path, describe_linear(), wait_s) as overlay:
        for index in range(61):
            if index == told_at:
                overlay.add_interval(make_interval(12, 20))
            if index < 60:
                overlay.add(index / 10, np.full((360, 480, 3), 90, np.uint8), (face,))
        assert not (tmp_path / OVERLAY).exists()
        overlay.finish()
    assert [path.name for path in tmp_path.iterdir()] == [OVERLAY]
    with VideoFrames(tmp_path / OVERLAY) as written:
        assert len(written) == 60
        assert written.timestamps_s[-1] == pytest.approx(5.9, abs=0.02)
        assert written[30].shape == (280, 320, 3)
        assert [index for index, frame in enumerate(written) if has_caption(frame)] == list(range(12, 21))
        left = written[30][100, 60:74].astype(int)  # the box begins at 100 * 320 / 480
        assert np.abs(left - 90).max() > 40


def test_an_overlay_that_is_not_finished_leaves_nothing(tmp_path):
    with OverlayFile(tmp_path, describe_linear(), 0.0) as overlay:
        for index in range(9):
            overlay.add(index / 10, np.full((360, 480, 3), 90, np.uint8), ())
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
