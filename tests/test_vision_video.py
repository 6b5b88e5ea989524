import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_jax.errors import DecodeError
from mer_jax.vision import video
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.quality import inspect_clip
from mer_jax.vision.verdict import Reason
from mer_jax.vision.video import VideoFrames
from tests.face_clips import FACES
from tests.video_files import CASES, numbered_frames, write_video


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth RGB picture whose channels and corners differ, 60x80."""
    y, x = np.mgrid[0:60, 0:80]
    return np.stack([3 * x, 4 * y, 255 - 3 * x], axis=-1).clip(0, 255).astype(np.uint8)


def test_a_video_gives_every_frame_in_any_order(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, numbered_frames(12))
    with VideoFrames(path) as frames:
        assert len(frames) == 12
        np.testing.assert_allclose(frames.timestamps_s, np.arange(12) / 25, atol=1e-3)
        for index in (0, 5, 5, 3, 11, -12):
            assert abs(int(frames[index].mean()) - (20 + 10 * (index % 12))) <= 4
            assert abs(int(frames.gray(index).mean()) - (20 + 10 * (index % 12))) <= 4
        assert frames.describe(4) == f"{path}, frame 4"


def test_a_video_comes_back_as_rgb(tmp_path, picture):
    path = tmp_path / "clip.avi"
    write_video(path, [picture] * 3, codec="MJPG")
    assert np.abs(VideoFrames(path)[1].astype(int) - picture).mean() < 4


def test_a_video_of_one_frame_works(tmp_path):
    write_video(tmp_path / "one.mp4", numbered_frames(1))
    frames = VideoFrames(tmp_path / "one.mp4")
    assert len(frames) == 1
    assert abs(int(frames[0].mean()) - 20) <= 4


def test_a_rotation_flag_is_honoured(tmp_path):
    path = tmp_path / "phone.mp4"
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24] = 200  # bright above
    write_video(path, [frame] * 3)
    # The matrix of the track header, 16.16 fixed point: a, b, u, c, d, v, x, y, w. This one turns by 90 degrees.
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 4 + 32 + 4
    identity = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    assert content[start : start + 36] == identity
    content[start : start + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 48 << 16, 0, 0x40000000)
    path.write_bytes(content)
    turned = VideoFrames(path)[0]
    assert turned.shape == (64, 48, 3)
    assert turned[:, 24:].mean() > 190  # bright on the right after a clockwise turn
    assert turned[:, :24].mean() < 10


@pytest.mark.parametrize("content", [b"", b"this is a text file\n" * 50])
def test_a_text_file_named_mp4_is_refused(tmp_path, content):
    path = tmp_path / "talk.mp4"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"talk\.mp4 \(\d[\d,]* bytes\) cannot be opened as a video"):
        VideoFrames(path)


def test_a_missing_video_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DecodeError, match=r"none\.mp4 does not exist; expected a video"):
        VideoFrames(tmp_path / "none.mp4")
    with pytest.raises(DecodeError, match="is not a file"):
        VideoFrames(tmp_path)


def test_a_truncated_mp4_is_refused_and_a_truncated_avi_gives_what_is_there(tmp_path):
    path = tmp_path / "cut.mp4"
    write_video(path, numbered_frames(20))
    path.write_bytes(path.read_bytes()[:-600])  # the index of an MP4 is at its end
    with pytest.raises(DecodeError, match=r"cut\.mp4 .* cannot be opened as a video: it is cut short"):
        VideoFrames(path)

    path = tmp_path / "cut.avi"
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    write_video(path, list(noise), codec="MJPG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    frames = VideoFrames(path)
    assert 5 <= len(frames) <= 12  # as many as are whole, not the 20 of the header
    assert frames[len(frames) - 1].shape == (48, 64, 3)


def test_a_variable_frame_rate_shows_in_the_timestamps(tmp_path):
    path = tmp_path / "phone.mp4"
    write_video(path, numbered_frames(10))
    content = bytearray(path.read_bytes())
    # The table of durations: one entry of 10 frames becomes two, 4 frames as they are and 6 of three times the length.
    start = content.index(b"stts")
    size, _, _, entries, count, duration = struct.unpack(">I4s4I", content[start - 4 : start + 20])
    assert (size, entries, count) == (24, 1, 10)
    table = struct.pack(">I4s6I", 32, b"stts", 0, 2, 4, duration, 6, 3 * duration)
    content[start - 4 : start + 20] = table
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        place = content.index(parent) - 4
        content[place : place + 4] = struct.pack(">I", struct.unpack(">I", content[place : place + 4])[0] + 8)
    path.write_bytes(content.replace(b"edts", b"free"))  # the edit list, which would end the film after .4 s
    frames = VideoFrames(path)
    np.testing.assert_allclose(np.diff(frames.timestamps_s), [0.04] * 4 + [0.12] * 5, atol=2e-3)
    assert frames.stated_duration_s == pytest.approx(0.88, abs=0.05)


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("this is a text file")
    with pytest.raises(DecodeError, match="as a video: it is a text file"):
        VideoFrames(path)
    path.write_bytes(b"")
    with pytest.raises(DecodeError, match="as a video: it is empty"):
        VideoFrames(path)
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(DecodeError, match="its format is unknown to OpenCV's FFmpeg"):
        VideoFrames(path)
    write_video(path.with_suffix(".avi"), numbered_frames(3), codec="MJPG")
    path.write_bytes(path.with_suffix(".avi").read_bytes().replace(b"MJPG", b"zzzz"))
    with pytest.raises(DecodeError, match="needs a codec that OpenCV's FFmpeg lacks"):
        VideoFrames(path)


def test_a_video_cut_short_says_how_long_it_should_be(tmp_path):
    path = tmp_path / "cut.avi"
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    write_video(path, list(noise), codec="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = VideoFrames(path)
    assert frames.timestamps_s[-1] < 0.5 < frames.stated_duration_s == pytest.approx(0.8)


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker(with_blendshapes=True, with_pose=True) as landmarker:
        yield landmarker


def said(quality) -> str:
    return "\n".join(f"{finding.level}: {finding}" for finding in quality.findings)


def test_pixels_that_are_not_square_are_made_square_and_named(landmarker):
    frames = VideoFrames(CASES / "wide_pixels.mp4")
    assert frames[0].shape == (288, 512, 3)
    assert frames.gray(0).shape == (288, 512)
    left, _, right, _ = landmarker.detect(frames[0]).box
    narrow = cv2.resize(frames[0], (360, 288))
    assert right - left > 1.35 * landmarker.detect(narrow).width_px
    quality = inspect_clip(frames, landmarker, kind="video")
    assert quality.frame_size == (512, 288)
    assert (
        "note: pixels are not square (1.422 times as wide as high): frames of 360x288 are resized to 512x288"
        in said(quality)
    )
    assert VideoFrames(FACES / "lbax4n.mpg").corrections == ()


def test_tall_pixels_make_the_frame_higher():
    def plan(width, height, degrees):
        header = {
            cv2.CAP_PROP_SAR_NUM: 8, cv2.CAP_PROP_SAR_DEN: 9, cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_ORIENTATION_META: degrees,
        }  # fmt: skip
        return VideoFrames.__new__(VideoFrames)._plan_aspect(header.__getitem__)[0]

    assert "frames of 720x480 are resized to 720x540" in plan(720, 480, 0)
    assert "frames of 480x720 are resized to 540x720" in plan(480, 720, 90)


def test_interlaced_video_is_refused_with_the_command_that_converts_it_unless_opencv_decodes_it():
    """OpenCV 5.1 decodes it; 5.0 returns one and the same buffer for every frame."""
    if tuple(map(int, cv2.__version__.split(".")[:2])) >= (5, 1):
        with VideoFrames(CASES / "interlaced.mpg") as frames:
            assert not np.array_equal(frames[0], frames[3])
        return
    with pytest.raises(DecodeError, match=r"interlaced\.mpg is interlaced, .* `ffmpeg -i \S+\.mpg -vf bwdif "):
        VideoFrames(CASES / "interlaced.mpg")


def test_a_still_video_is_not_called_interlaced(tmp_path):
    write_video(tmp_path / "still.avi", [np.full((48, 64, 3), 90, np.uint8)] * 5, codec="MJPG")
    assert len(VideoFrames(tmp_path / "still.avi")) == 5


def test_woven_fields_are_named_and_progressive_video_is_not(landmarker):
    quality = inspect_clip(VideoFrames(CASES / "woven.mp4"), landmarker, kind="video")
    assert "warning: interlaced: every other row shows another moment; convert it with `ffmpeg -i" in said(quality)
    for path in (FACES / "lbax4n.mpg", CASES / "browser.webm", CASES / "phone.3gp", CASES / "progressive.MTS"):
        quality = inspect_clip(VideoFrames(path), landmarker, kind="video")
        assert Reason.INTERLACED not in {finding.reason for finding in quality.findings}


def test_the_rate_is_that_of_the_frames_and_not_that_of_the_header(landmarker):
    frames = VideoFrames(CASES / "browser.webm")  # its header claims 1000 frames/s and 2789 frames
    assert len(frames) == 24
    assert frames.timestamps_s[-1] == pytest.approx(2.788)
    quality = inspect_clip(frames, landmarker, kind="video")
    assert quality.frames_per_s == pytest.approx(23 / 2.788)
    assert "cut short" not in said(quality)
    assert "uneven frame rate: intervals from 0.046 to 0.204 s" in said(quality)


def test_a_cut_file_is_named_with_both_durations(tmp_path, landmarker):
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    path = tmp_path / "cut.avi"
    write_video(path, list(noise), codec="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cut short: the header says 0.80 s, the frames that can be decoded last 0." in said(
        inspect_clip(VideoFrames(path), landmarker, kind="video")
    )


@pytest.mark.parametrize("name", ["phone.3gp", "progressive.MTS", "talk.gif"])
def test_less_common_containers_are_read(name, landmarker):
    with VideoFrames(CASES / name) as frames:
        assert len(frames) in (6, 8)
        assert landmarker.detect(frames[len(frames) - 1]) is not None
        assert frames.timestamps_s[0] == 0
        assert (np.diff(frames.timestamps_s) > 0).all()


@pytest.mark.parametrize("name", ["10:30:05.mp4", "concat:a|b.mp4", "clip %03d.mp4"])
def test_a_relative_path_is_not_taken_for_a_protocol(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(Path("clip.mp4"), numbered_frames(3))
    os.rename("clip.mp4", name)
    assert len(VideoFrames(name)) == 3


def test_a_name_that_is_not_utf_8_can_be_opened(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_frames(3))
    folder = os.fsencode(tmp_path) + b"/bad\xff"
    os.mkdir(folder)
    os.rename(tmp_path / "clip.mp4", folder + b"/clip\xfe.mp4")
    with VideoFrames(os.fsdecode(folder + b"/clip\xfe.mp4")) as frames:
        assert abs(int(frames[2].mean()) - 40) <= 4
        assert abs(int(frames[0].mean()) - 20) <= 4  # opened once more
        link = frames._link
    assert not link.exists()


@pytest.fixture
def grabs(monkeypatch):
    """Records the index of every frame that OpenCV grabs, in order."""
    numbers, grab = [], video._Reader.grab

    def counted(reader):
        numbers.append(reader.next)
        return grab(reader)

    monkeypatch.setattr(video._Reader, "grab", counted)
    return numbers


def test_no_more_is_read_than_is_asked_for(tmp_path, grabs):
    write_video(tmp_path / "long.avi", numbered_frames(20), codec="MJPG")
    frames = VideoFrames(tmp_path / "long.avi")
    assert len(grabs) == 3
    assert frames.holds(5)
    assert frames.time_s(7) == pytest.approx(0.28)
    assert frames.describe(9).endswith("frame 9")
    assert max(grabs) == 9
    assert not frames.holds(20)
    assert not frames.holds(-1)
    with pytest.raises(IndexError, match="has 20 frames; there is no frame 20"):
        frames.time_s(20)


def test_a_pass_that_goes_back_reads_each_frame_twice_at_most(tmp_path, grabs):
    pictures = numbered_frames(24)
    write_video(tmp_path / "long.avi", pictures, codec="MJPG")
    frames = VideoFrames(tmp_path / "long.avi")
    del grabs[:]
    for index, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - pictures[index]).mean() < 4
        if index % 8 == 7:
            for earlier in range(index - 6, index + 1):
                assert np.abs(frames[earlier].astype(int) - pictures[earlier]).mean() < 4
    assert len(grabs) <= 2 * 24 + 2
    assert len(frames) == 24
    assert np.abs(frames[23].astype(int) - pictures[23]).mean() < 4
    assert frames.timestamps_s[-1] == pytest.approx(23 / 25)


def test_intervals_that_overlap_do_not_start_from_the_beginning_again_and_again(tmp_path, grabs):
    write_video(tmp_path / "long.avi", numbered_frames(24) * 10, codec="MJPG")
    frames = VideoFrames(tmp_path / "long.avi")
    for index, _ in enumerate(frames):
        if index % 8 == 7:
            for first in (index - 7, index - 6, index - 5):  # of three faces
                assert [frames[each].mean() for each in (first, index - 3)][1] > 0
    assert len(grabs) <= 4 * 240 + 20


def test_asking_for_a_frame_after_the_end_does_not_open_the_file_again(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_frames(3))
    frames = VideoFrames(tmp_path / "clip.mp4")
    assert len(frames) == 3
    (tmp_path / "clip.mp4").unlink()
    assert not frames.holds(3)
    with pytest.raises(DecodeError, match=r"clip\.mp4 cannot be opened: No such file or directory"):
        frames[0]
