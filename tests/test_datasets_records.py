import json
import os
from pathlib import Path

import pytest

from datasets.cutting import fill_gaps
from datasets.folders import (
    describe_folder,
    enter_doubled,
    find_folders,
    find_marker,
    list_frames,
    subfolders,
)
from datasets.records import ClipRecord, Corpus, Published
from datasets.report import CorpusReport
from mer_jax.errors import CorpusError


def write_files(folder, *names, content=b"pixels"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["image034208.bmp", "image034209.bmp"],
        ["image999999.bmp", "image1000000.bmp"],  # more digits, but first by name
        ["image9999999.bmp", "image10000000.bmp"],
        ["img9.jpg", "img10.JPG", "img99.jpeg", "img100.PNG"],
        ["006_0999.jpg", "006_1000.jpg"],  # the last run of digits, not the first
        ["vis 00007.bmp", "vis 00012.bmp"],
    ],
)
def test_frames_come_in_the_order_of_their_numbers(tmp_path, names):
    write_files(tmp_path, *reversed(names))
    frames, numbers, oddities = list_frames(tmp_path)
    assert [frame.name for frame in frames] == names
    assert numbers == sorted(numbers)
    assert oddities == []


def test_what_is_no_frame_is_not_listed(tmp_path):
    junk = ["Thumbs.db", ".DS_Store", "._image000001.bmp", "image1.lnk", "~$labels1.xlsx", "notes1.pdf", "~$2.jpg"]
    write_files(tmp_path, "image000001.bmp", *junk)
    (tmp_path / "image000002.bmp").mkdir()
    frames, _, oddities = list_frames(tmp_path)
    assert [frame.name for frame in frames] == ["image000001.bmp"]
    assert oddities == []


def test_odd_frames_are_named(tmp_path):
    write_files(tmp_path, "image1.bmp", "image001.bmp", "cover.bmp")
    write_files(tmp_path, "image2.bmp", content=b"")
    frames, numbers, oddities = list_frames(tmp_path)
    assert numbers == [1, 2]
    assert len(frames) == 2
    told = "\n".join(oddities)
    assert "cover.bmp has no frame number" in told
    assert "image1.bmp repeats the frame number of image001.bmp" in told
    assert "image2.bmp is an empty file" in told


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"cannot list folder .*nowhere"):
        list_frames(tmp_path / "nowhere")


def test_gaps_are_filled_with_the_frame_before():
    assert fill_gaps([5, 6, 9]) == [5, 6, 6, 6, 9]


def has_frames(folder):
    return any(folder.glob("*.bmp"))


def test_folders_are_found_three_levels_down_and_no_further(tmp_path):
    near = write_files(tmp_path / "a" / "b" / "c", "1.bmp")
    write_files(tmp_path / "x" / "b" / "c" / "d", "1.bmp")
    assert find_folders(tmp_path, has_frames) == [near]
    assert find_folders(near, has_frames) == [near]


def test_the_nearest_folder_comes_first(tmp_path):
    deep = write_files(tmp_path / "a" / "b", "1.bmp")
    near = write_files(tmp_path / "z", "1.bmp")
    assert find_folders(tmp_path, has_frames) == [near, deep]


def test_links_that_lead_in_circles_end(tmp_path):
    found = write_files(tmp_path / "a" / "b", "1.bmp")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "again").symlink_to(tmp_path / "a")
    assert find_folders(tmp_path, has_frames) == [found]


def test_doubled_folders_are_entered_and_circles_are_not(tmp_path):
    inner = write_files(tmp_path / "SMIC all-raw" / "smic_all_raw" / "SMIC_ALL_RAW", "1.bmp")
    assert enter_doubled(tmp_path / "SMIC all-raw") == inner
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "s1").symlink_to(tmp_path / "s1")
    assert enter_doubled(tmp_path / "s1") == tmp_path / "s1"


def test_subfolders_are_sorted_as_people_count(tmp_path):
    for name in ("s10", "s2", "s1", ".hidden", "__MACOSX"):
        (tmp_path / name).mkdir()
    write_files(tmp_path, "s3")
    assert [folder.name for folder in subfolders(tmp_path)] == ["s1", "s2", "s10"]


def test_a_folder_is_described_by_its_first_entries(tmp_path):
    write_files(tmp_path, *(f"file{index}" for index in range(20)))
    (tmp_path / "a").mkdir()
    assert describe_folder(tmp_path, limit=3) == "a/, file0, file1 and 18 more"
    assert "empty" in describe_folder(tmp_path / "a")


class TestMarker:
    def write(self, folder, content='{"surrogate": true}'):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "SURROGATE.json").write_text(content)

    @pytest.mark.parametrize("place", ["release/HS", "release", "."])
    def test_it_is_found_at_the_root_and_above(self, tmp_path, place):
        (tmp_path / "release" / "HS").mkdir(parents=True)
        assert find_marker(tmp_path / "release" / "HS") is None
        self.write(tmp_path / place)
        assert find_marker(tmp_path / "release" / "HS") == {"surrogate": True}

    @pytest.mark.parametrize("content", ["", "[1]", '{"clips": 3}', '{"clips": {"s1_ne_01": {}}}'])
    def test_a_damaged_one_never_makes_recordings(self, tmp_path, content):
        self.write(tmp_path, content)
        with pytest.raises(CorpusError, match=r"SURROGATE\.json"):
            find_marker(tmp_path)


def make_report(**changes):
    fields = {
        "title": "SMIC HS",
        "root": Path("/corpora/SMIC"),
        "provenance": "licensed",
        "by_class": {"negative": 1, "surprise": 2},
        "by_subject": {"s1": 3},
        "expected_by_class": {"negative": 2, "surprise": 2},
        "expected_by_subject": {"s1": 3, "s2": 1},
        "findings": {"missing": ("s2_ne_01 is missing",)},
        "num_subjects": 2,
    }
    return CorpusReport(**(fields | changes))


def test_the_report_puts_found_beside_expected():
    told = "\n".join(make_report().lines())
    assert "3 of 4 clips, 1 of 2 subjects, in /corpora/SMIC" in told
    assert "negative 1 (expected 2), surprise 2\n" in told
    assert "s1 3, s2 0 (expected 1)" in told
    assert "differs: s2_ne_01 is missing" in told
    assert "rendered" not in told
    assert "rendered faces, not recordings" in "\n".join(make_report(provenance="surrogate").lines())


def test_the_report_is_plain_json():
    content = json.loads(json.dumps(make_report().to_json()))
    assert content["num_clips"] == 3
    assert content["by_class"] == {"negative": 1, "surprise": 2}
    assert content["differences"] == ["s2_ne_01 is missing"]
    assert content["root"] == "/corpora/SMIC"


class TestSourceFingerprint:
    def make(self, folder, **changes):
        frames = tuple(sorted(folder.glob("*.bmp")))
        fields = {
            "clip_id": "s1_ne_01",
            "subject": "s1",
            "corpus": "smic",
            "labels": {"emotion": "negative"},
            "frames": frames,
            "frame_numbers": tuple(range(len(frames))),
            "onset": 0,
            "apex": None,
            "offset": len(frames) - 1,
        }
        record = ClipRecord(**(fields | changes))
        published = Published({}, {})
        return Corpus("smic", "SMIC", "hs", folder, "licensed", (record,), {}, published, {}).source_fingerprint()

    def test_it_holds_while_nothing_changes(self, tmp_path):
        write_files(tmp_path, "1.bmp", "2.bmp")
        assert self.make(tmp_path) == self.make(tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: (folder / "2.bmp").write_bytes(b"more pixels"),
            lambda folder: os.utime(folder / "2.bmp", (1, 1)),
            lambda folder: (folder / "2.bmp").rename(folder / "3.bmp"),
            lambda folder: (folder / "3.bmp").write_bytes(b"pixels"),
            lambda folder: (folder / "2.bmp").unlink(),
        ],
    )
    def test_it_notices_files(self, tmp_path, change):
        write_files(tmp_path, "1.bmp", "2.bmp")
        before = self.make(tmp_path)
        change(tmp_path)
        assert self.make(tmp_path) != before

    @pytest.mark.parametrize(
        "change", [{"labels": {"emotion": "surprise"}}, {"subject": "s2"}, {"apex": 1}, {"onset": 1}]
    )
    def test_it_notices_annotations(self, tmp_path, change):
        write_files(tmp_path, "1.bmp", "2.bmp")
        assert self.make(tmp_path, **change) != self.make(tmp_path)

    def test_it_names_a_frame_that_vanished(self, tmp_path):
        with pytest.raises(CorpusError, match=r"cannot look at frame .*7\.bmp"):
            self.make(tmp_path, frames=(tmp_path / "7.bmp",))
