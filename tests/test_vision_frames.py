import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_jax.errors import DecodeError
from mer_jax.vision.frames import ArrayFrames, FolderFrames, SelectedFrames, frame_number, list_frame_files
from mer_jax.vision.video import VideoFrames
from tests.video_files import numbered_frames


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


def test_the_digits_that_vary_are_the_number(tmp_path, picture):
    for number in (1, 2, 9, 10, 100):
        write(tmp_path / f"frame{number}_0.bmp", picture, ".bmp")
    assert [each.name for each in list_frame_files(tmp_path)] == [f"frame{n}_0.bmp" for n in (1, 2, 9, 10, 100)]


def test_second_copies_are_left_out_and_named(tmp_path, picture):
    for name in ("img7.jpg", "img7 (1).jpg", "img8.jpg", "img8 - Copy.jpg", "img9 (1).jpg", "cover.jpg"):
        write(tmp_path / name, picture, ".jpg")
    frames = FolderFrames(tmp_path)
    assert [path.name for path in frames.paths] == ["img7.jpg", "img8.jpg", "img9 (1).jpg", "cover.jpg"]
    assert frames.corrections == ("2 second copies are left out: img7 (1).jpg, img8 - Copy.jpg",)
    assert FolderFrames(list(frames.paths)).corrections == ()
    (tmp_path / "downloads").mkdir()
    for name in ("clip.jpg", "clip (1).jpg", "clip (2).jpg", "clip (10).jpg"):
        write(tmp_path / "downloads" / name, picture, ".jpg")
    names = [path.stem for path in list_frame_files(tmp_path / "downloads")]
    assert names == ["clip (1)", "clip (2)", "clip (10)", "clip"]


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
    with pytest.raises(DecodeError, match=r"2\.bmp cannot be decoded \(16 bytes, starting with b'this is '\)"):
        frames[1]


def test_a_folder_without_frames_says_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DecodeError, match=r"contains no frame: expected \.bmp, .* found 1 other"):
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
    with pytest.raises(TypeError, match=r"indexed by one integer|SupportsIndex"):
        frames[0:2]


def test_a_png_that_claims_a_huge_size_is_refused_before_it_is_decoded(tmp_path):
    content = write(tmp_path / "1.png", np.zeros((8, 8), np.uint8), ".png")
    (tmp_path / "1.png").write_bytes(content[:16] + struct.pack(">II", 20_000, 20_000) + content[24:])
    with pytest.raises(DecodeError, match=r"1\.png has 20000x20000 pixels; at most 134,217,728 pixels are decoded"):
        FolderFrames(tmp_path)[0]


def test_tiff_frames_are_read(tmp_path, picture):
    for suffix in (".tif", ".tiff"):
        write(tmp_path / f"1{suffix}", picture, suffix)
        np.testing.assert_array_equal(FolderFrames([tmp_path / f"1{suffix}"])[0], picture)
    assert len(FolderFrames(tmp_path)) == 2


def test_a_selection_of_a_selection_asks_for_each_time_once():
    class Timed(ArrayFrames):
        asked = 0

        def time_s(self, index):
            self.asked += 1
            return index / 25

    film = Timed(np.zeros((40, 4, 4), np.uint8))
    part = SelectedFrames(SelectedFrames(film, range(10, 40)), range(5, 25))
    assert part.timestamps_s.tolist() == [index / 25 for index in range(15, 35)]
    assert film.asked == 20
