import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_jax.errors import DecodeError
from mer_jax.vision.frames import ArrayFrames, FolderFrames, VideoFrames, frame_number, list_frame_files, open_frames


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth RGB picture whose channels and corners differ, 60x80."""
    y, x = np.mgrid[0:60, 0:80]
    return np.stack([3 * x, 4 * y, 255 - 3 * x], axis=-1).clip(0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray, suffix: str, *flags: int) -> bytes:
    bgr = image[..., ::-1] if image.ndim == 3 else image
    content = cv2.imencode(suffix, bgr, list(flags))[1].tobytes()
    path.write_bytes(content)
    return content


def write_video(path: Path, frames: list[np.ndarray], codec: str = "mp4v", fps: float = 25.0) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def numbered_frames(count: int) -> list[np.ndarray]:
    """Frames that tell their number by their gray level: 20, 30, 40..."""
    return [np.full((48, 64, 3), 20 + 10 * index, np.uint8) for index in range(count)]


# Folders


@pytest.mark.parametrize(
    ("name", "number"),
    [("image000012.bmp", 12), ("reg_img46.jpg", 46), ("006_1_2_5562.jpg", 5562), ("10_0401girlcrying.jpg", 401)],
)
def test_frame_number_is_the_last_run_of_digits(name, number):
    assert frame_number(Path(name)) == number
    assert frame_number(Path("sub01/cover.jpg")) is None


def test_a_folder_is_sorted_by_number_and_foreign_files_are_left_out(tmp_path, picture):
    for name in ("img10.jpg", "img9.jpg", "img100.JPG", "img001.png"):
        write(tmp_path / name, picture, Path(name).suffix.lower())
    for name in ("Thumbs.db", ".DS_Store", "._img9.jpg", "notes.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "img5").mkdir()
    assert [each.name for each in list_frame_files(tmp_path)] == ["img001.png", "img9.jpg", "img10.jpg", "img100.JPG"]
    assert len(FolderFrames(tmp_path)) == 4


def test_paths_given_keep_their_order_and_may_repeat(tmp_path):
    for number in (1, 2):
        write(tmp_path / f"{number}.png", np.full((8, 8, 3), number, np.uint8), ".png")
    frames = FolderFrames([tmp_path / "2.png", tmp_path / "1.png", tmp_path / "2.png"])
    assert [frames[index][0, 0, 0] for index in range(3)] == [2, 1, 2]
    assert frames.describe(-1) == str(tmp_path / "2.png")


def test_frames_are_read_only_when_asked_for(tmp_path):
    write(tmp_path / "1.png", np.zeros((8, 8, 3), np.uint8), ".png")
    frames = FolderFrames([tmp_path / "1.png", tmp_path / "missing.png"])
    assert frames[0].shape == (8, 8, 3)
    with pytest.raises(DecodeError, match=r"missing\.png cannot be read: No such file"):
        frames[1]


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_files_come_back_as_rgb(tmp_path, picture, suffix):
    write(tmp_path / f"1{suffix}", picture, suffix)
    frames = FolderFrames(tmp_path)
    np.testing.assert_array_equal(frames[0], picture)
    luma = picture @ [0.299, 0.587, 0.114]
    assert np.abs(frames.gray(0) - luma).max() <= 1.5


def test_content_decides_the_format_a_jpeg_may_be_called_bmp(tmp_path, picture):
    write(tmp_path / "image000001.bmp", picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    frames = FolderFrames(tmp_path)
    assert np.abs(frames[0].astype(int) - picture).mean() < 3
    assert np.abs(frames.gray(0) - picture @ [0.299, 0.587, 0.114]).mean() < 1


def test_sixteen_bit_is_scaled_by_its_full_range(tmp_path):
    levels = np.array([[0, 256, 32768, 65535]], np.uint16).repeat(4, axis=0)
    write(tmp_path / "1.png", levels, ".png")
    frames = FolderFrames(tmp_path)
    np.testing.assert_array_equal(frames.gray(0)[0], [0, 1, 128, 255])
    np.testing.assert_array_equal(frames[0][0, :, 1], [0, 1, 128, 255])


def test_gray_files_become_rgb_with_equal_channels(tmp_path, picture):
    write(tmp_path / "1.png", picture[..., 0], ".png")
    frame = FolderFrames(tmp_path)[0]
    assert frame.shape == (60, 80, 3)
    np.testing.assert_array_equal(frame, np.repeat(picture[..., :1], 3, axis=-1))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_image_is_refused_by_name(tmp_path, picture, suffix, kept):
    path = tmp_path / f"frame7{suffix}"
    content = write(path, picture, suffix)
    path.write_bytes(content[: int(len(content) * kept)])
    frames = FolderFrames(tmp_path)
    with pytest.raises(DecodeError, match=r"frame7.*cannot be decoded .* cut short"):
        frames[0]
    with pytest.raises(DecodeError, match="frame7"):
        frames.gray(0)


def test_opencv_keeps_quiet_about_what_we_raise(tmp_path, picture, capfd):
    for suffix in (".bmp", ".jpg", ".png"):
        content = write(tmp_path / f"cut{suffix}", picture, suffix)
        (tmp_path / f"cut{suffix}").write_bytes(content[:-200])
        with pytest.raises(DecodeError, match="cannot be decoded"):
            FolderFrames([tmp_path / f"cut{suffix}"])[0]
    (tmp_path / "talk.mp4").write_text("this is a text file")
    with pytest.raises(DecodeError, match="cannot be opened"):
        VideoFrames(tmp_path / "talk.mp4")
    assert capfd.readouterr() == ("", "")


def test_an_empty_file_and_a_text_file_are_refused_by_name(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"")
    (tmp_path / "2.bmp").write_text("this is no image")
    frames = FolderFrames(tmp_path)
    with pytest.raises(DecodeError, match=r"1\.jpg is empty"):
        frames[0]
    with pytest.raises(DecodeError, match=r"2\.bmp cannot be decoded \(16 bytes, it begins with b'this is '\)"):
        frames[1]


def test_a_folder_without_frames_says_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DecodeError, match=r"holds no frame: looked for \.bmp, .* found 1 other"):
        FolderFrames(tmp_path)
    with pytest.raises(DecodeError, match="cannot be read as a folder of frames: No such file"):
        FolderFrames(tmp_path / "nowhere")
    with pytest.raises(DecodeError, match="list of frame files is empty"):
        FolderFrames([])


def test_folder_frames_travel_to_worker_processes(tmp_path, picture):
    write(tmp_path / "1.png", picture, ".png")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(FolderFrames(tmp_path)))[0], picture)


# Arrays


def test_array_frames_take_colour_gray_and_sixteen_bit():
    gray = np.arange(2 * 4 * 5, dtype=np.uint16).reshape(2, 4, 5) * 257
    frames = ArrayFrames(gray)
    np.testing.assert_array_equal(frames.gray(1), gray[1] // 257)
    assert frames[0].shape == (4, 5, 3)
    colour = np.zeros((1, 4, 5, 3), np.uint8)
    colour[..., 1] = 100
    assert ArrayFrames(colour).gray(0)[0, 0] == 59  # green counts .587


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5), np.uint8), r"has shape \(4, 5\); expected"),
        (np.zeros((0, 4, 5, 3), np.uint8), "has shape"),
        (np.zeros((2, 4, 5, 4), np.uint8), "has shape"),
        (np.zeros((2, 4, 5, 3), np.float32), "has dtype float32; expected uint8"),
    ],
)
def test_arrays_that_are_no_frames_are_refused(array, message):
    with pytest.raises(DecodeError, match=message):
        ArrayFrames(array)


def test_indices_count_from_the_end_stop_the_iteration_and_refuse_slices():
    frames = ArrayFrames(np.stack(numbered_frames(3)), name="clip s1")
    assert [frame[0, 0, 0] for frame in frames] == [20, 30, 40]
    assert frames[-1][0, 0, 0] == 40
    assert frames.describe(np.int64(-1)) == "clip s1, frame 2"
    with pytest.raises(IndexError, match="clip s1 has 3 frames; there is no frame 3"):
        frames[3]
    with pytest.raises(TypeError, match=r"indexed by one whole number|SupportsIndex"):
        frames[0:2]


# Videos


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
    with pytest.raises(DecodeError, match=r"none\.mp4 is not there; expected a video"):
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
    assert frames.stated_frames == 10


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("this is a text file")
    with pytest.raises(DecodeError, match="as a video: it is a text file"):
        VideoFrames(path)
    path.write_bytes(b"")
    with pytest.raises(DecodeError, match="as a video: it is empty"):
        VideoFrames(path)
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(DecodeError, match="it is no video of a kind that"):
        VideoFrames(path)
    write_video(path.with_suffix(".avi"), numbered_frames(3), codec="MJPG")
    path.write_bytes(path.with_suffix(".avi").read_bytes().replace(b"MJPG", b"zzzz"))
    with pytest.raises(DecodeError, match="needs a codec that OpenCV's FFmpeg lacks"):
        VideoFrames(path)


def test_a_video_cut_short_says_how_many_frames_it_should_have(tmp_path):
    path = tmp_path / "cut.avi"
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    write_video(path, list(noise), codec="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = VideoFrames(path)
    assert len(frames) < frames.stated_frames == 20


def test_one_call_opens_a_folder_an_image_and_a_video(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "img1.png"), picture)
    write_video(tmp_path / "clip.mp4", numbered_frames(3))
    for name, kind, length in ((".", FolderFrames, 1), ("img1.png", FolderFrames, 1), ("clip.mp4", VideoFrames, 3)):
        frames = open_frames(tmp_path / name)
        assert type(frames) is kind
        assert len(frames) == length
    assert open_frames(tmp_path).timestamps_s is None
    with pytest.raises(DecodeError, match="is not there"):
        open_frames(tmp_path / "none.mov")
