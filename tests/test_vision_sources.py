import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_jax.errors import DecodeError
from mer_jax.vision.frames import FolderFrames
from mer_jax.vision.sources import VIDEO_SUFFIXES, find_clips, open_frames
from mer_jax.vision.tiff import count_pages
from mer_jax.vision.video import VideoFrames
from tests.video_files import numbered_frames, write_video


def names(found) -> list[str]:
    return [clip.name for clip in found.clips]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_one_call_opens_a_folder_an_image_and_a_video(tmp_path):
    cv2.imwrite(str(tmp_path / "img1.png"), np.zeros((8, 8, 3), np.uint8))
    write_video(tmp_path / "clip.mp4", numbered_frames(3))
    for name, kind, length in ((".", FolderFrames, 1), ("img1.png", FolderFrames, 1), ("clip.mp4", VideoFrames, 3)):
        frames = open_frames(tmp_path / name)
        assert type(frames) is kind
        assert len(frames) == length
    assert open_frames(tmp_path).timestamps_s is None
    with pytest.raises(DecodeError, match="does not exist"):
        open_frames(tmp_path / "none.mov")


def test_clips_come_in_natural_order_with_their_kind_and_the_rest_is_counted(tmp_path):
    for name in ("s10/a.mp4", "s2/b.MTS", "s2/ep/img1.bmp", "s2/ep/img2.bmp", "s2/ep/notes.txt", "list.xlsx", "c.heic"):
        touch(tmp_path / name)
    for name in (".hidden.mp4", ".cache/x.mp4"):
        touch(tmp_path / name)
    found = find_clips(str(tmp_path))
    assert names(found) == ["s2/b.MTS", "s2/ep", "s10/a.mp4"]
    assert [clip.kind for clip in found.clips] == ["video", "clip", "video"]
    assert found.passed_over == {".heic": 1, ".txt": 1, ".xlsx": 1}


@pytest.mark.parametrize("suffix", [".3gp", ".gif", ".MTS", ".M2TS", ".webm", ".dv"])
def test_videos_are_known_by_their_suffix_in_any_case(tmp_path, suffix):
    assert suffix.lower() in VIDEO_SUFFIXES
    touch(tmp_path / f"clip{suffix}")
    assert names(find_clips(str(tmp_path))) == [f"clip{suffix}"]


def test_links_to_folders_and_files_are_followed_and_a_circle_ends(tmp_path):
    touch(tmp_path / "store" / "deep" / "img1.png")
    touch(tmp_path / "store" / "talk.mov")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "clip1").symlink_to(tmp_path / "store" / "deep")
    (corpus / "talk.mov").symlink_to(tmp_path / "store" / "talk.mov")
    (corpus / "again").symlink_to(corpus)
    assert names(find_clips(str(corpus))) == ["clip1", "talk.mov"]


def test_a_folder_without_clips_says_what_is_there(tmp_path):
    with pytest.raises(
        DecodeError, match=r"contains neither videos \(.*\) nor folders of frames \(.*\); found no files"
    ):
        find_clips(str(tmp_path))
    touch(tmp_path / "a.txt")
    touch(tmp_path / "README")
    with pytest.raises(
        DecodeError, match=r"found 2 other files: 1 \.txt, 1 README|found 2 other files: 1 README, 1 \.txt"
    ):
        find_clips(str(tmp_path))


def test_a_camera_is_offered_only_where_one_is_taken():
    with pytest.raises(DecodeError, match=r"nothing.mp4 does not exist; expected a video, a folder, or camera"):
        find_clips("nothing.mp4", 1.0)
    with pytest.raises(DecodeError, match=r"nothing.mp4 does not exist; expected a video or a folder$"):
        find_clips("nothing.mp4")


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path / "clips" / "a.mp4")
    assert names(find_clips("~/clips")) == ["a.mp4"]


def test_names_that_are_not_utf_8_are_found(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/s\xff")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/s\xff")) / "img1.png").write_bytes(b"x")
    (clip,) = find_clips(str(tmp_path)).clips
    assert os.fsencode(clip.name) == b"s\xff"


def test_a_tiff_stack_is_a_clip_and_single_pages_are_frames(tmp_path):
    pages = [np.full((12, 16), 1000 * number, np.uint16) for number in range(1, 6)]
    assert cv2.imwritemulti(str(tmp_path / "stack.tif"), pages)
    (tmp_path / "frames").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "frames" / f"img{number}.tif"), pages[number])
    found = find_clips(str(tmp_path))
    assert [(clip.name, clip.kind) for clip in found.clips] == [("frames", "clip"), ("stack.tif", "video")]
    frames = open_frames(tmp_path / "stack.tif")
    assert len(frames) == count_pages(tmp_path / "stack.tif") == 5
    assert [int(frames.gray(index)[0, 0]) for index in range(5)] == [round(1000 * n / 257) for n in range(1, 6)]
    assert len(open_frames(tmp_path / "frames")) == 3


@pytest.mark.parametrize("kept", [3, 7, 100, 500])
def test_a_damaged_tiff_is_refused_by_name(tmp_path, kept):
    cv2.imwritemulti(str(tmp_path / "stack.tif"), [np.full((12, 16), number, np.uint8) for number in range(5)])
    content = (tmp_path / "stack.tif").read_bytes()
    assert len(content) > 500
    (tmp_path / "stack.tif").write_bytes(content[:kept])
    with pytest.raises(DecodeError, match=r"stack\.tif cannot be decoded"):
        open_frames(tmp_path / "stack.tif")[0]
