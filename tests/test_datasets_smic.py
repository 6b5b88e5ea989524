"""The reader opens no frame, so a few bytes stand for each."""

import json
import shutil

import pytest

from datasets.records import Reason
from datasets.smic.names import CLASS_OF_TOKEN, PUBLISHED
from datasets.smic.release import Smic
from mer_jax.errors import CorpusError
from tests.corpora import Reading

TOKEN_OF_CLASS = {class_name: token for token, class_name in CLASS_OF_TOKEN.items()}


def write_clip(hs, clip_id, *, class_name=None, first=34208, num_frames=12, prefix="image", subject=None):
    name, token, _ = clip_id.split("_")
    folder = hs / (subject or name) / "micro" / (class_name or CLASS_OF_TOKEN[token]) / clip_id
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + num_frames):
        (folder / f"{prefix}{number:06d}.bmp").write_bytes(b"pixels")
    return folder


def write_small(hs, **options):
    for clip_id in ("s1_ne_01", "s1_po_01", "s3_sur_01", "s20_ne_01", "s20_ne_02"):
        write_clip(hs, clip_id, **options)
    return hs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree with all that was published."""
    top = tmp_path_factory.mktemp("whole")
    hs = top / "SMIC_all_raw" / "HS"
    labels = iter([name for name, count in PUBLISHED["hs"].by_label.items() for _ in range(count)])
    for subject, count in PUBLISHED["hs"].by_subject.items():
        used = dict.fromkeys(TOKEN_OF_CLASS, 0)
        for _ in range(count):
            class_name = next(labels)
            used[class_name] += 1
            write_clip(hs, f"{subject}_{TOKEN_OF_CLASS[class_name]}_{used[class_name]:02d}", num_frames=11)
    return top


def differences(corpus):
    """What is said beyond the counts, which never fit in a small tree."""
    return [each for each in corpus.report.differences if not each.startswith(("class ", "subject "))]


def clip_ids(corpus):
    return [record.clip_id for record in corpus.records]


def test_a_whole_copy_differs_in_nothing(whole):
    corpus = Reading(Smic, whole)
    assert corpus.report.differences == ()
    assert corpus.provenance == "licensed"
    assert len(corpus.records) == 164
    assert corpus.report.by_class == {"negative": 70, "positive": 51, "surprise": 43}
    assert len(corpus.report.by_subject) == 16
    assert corpus.report.lines()[0].startswith("SMIC (hs, raw, 3class), licensed: 164 of 164 clips, 16 of 16 subjects")


def test_a_lacking_clip_is_named(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "SMIC_all_raw" / "HS" / "s1" / "micro" / "negative" / "s1_ne_03")
    corpus = Reading(Smic, tmp_path / "copy")
    assert corpus.report.differences == (
        "class negative: 69 clips, expected 70",
        "subject s1: 5 clips, expected 6",
        "s1_ne_03 is missing from the sequence",
    )


def test_a_record_is_the_whole_folder_without_an_apex(tmp_path):
    folder = write_clip(tmp_path / "SMIC_all_raw" / "HS", "s3_sur_01", first=34208, num_frames=13)
    (record,) = Reading(Smic, tmp_path).records
    assert (record.clip_id, record.subject, record.labels["emotion"], record.corpus) == (
        "s3_sur_01",
        "s3",
        "surprise",
        "smic",
    )
    assert (record.onset, record.apex, record.offset) == (0, None, 12)
    assert record.frame_numbers == tuple(range(34208, 34221))
    assert record.frames[0] == folder / "image034208.bmp"


@pytest.mark.parametrize("first", [999_995, 9_999_995])
def test_counters_that_gain_a_digit_stay_in_order(tmp_path, first):
    write_clip(tmp_path / "SMIC_all_raw" / "HS", "s1_ne_01", first=first)
    (record,) = Reading(Smic, tmp_path).records
    assert record.frame_numbers == tuple(range(first, first + 12))
    assert [int(frame.stem.removeprefix("image")) for frame in record.frames] == list(record.frame_numbers)


@pytest.mark.parametrize(
    "place",
    [
        "SMIC_all_raw/HS",
        "SMIC_all_raw/SMIC_all_raw/HS",
        "corpora/SMIC/SMIC_all_raw/SMIC_all_raw/HS",
        "SMIC_all_raw/HS/HS",
        "smic-all raw/hs",
        "SMIC (licence of Übung 3)/Gesichter é/SMIC_all_raw/HS",
        "HS",
        "SMIC/HS",
        ".",
    ],
)
def test_the_root_is_found_wherever_it_was_unpacked(tmp_path, place):
    write_small(tmp_path / "top dir" / place)
    corpus = Reading(Smic, tmp_path / "top dir")
    assert clip_ids(corpus) == ["s1_ne_01", "s1_po_01", "s3_sur_01", "s20_ne_01", "s20_ne_02"]
    assert differences(corpus) == []


@pytest.mark.parametrize("given", ["SMIC_all_raw", "SMIC_all_raw/HS"])
def test_the_release_or_its_hs_may_be_given(tmp_path, given):
    write_small(tmp_path / "SMIC_all_raw" / "HS")
    assert len(Reading(Smic, tmp_path / given).records) == 5


def test_raw_is_preferred_over_cropped(tmp_path):
    write_small(tmp_path / "SMIC_all_cropped" / "HS", prefix="reg_image")
    assert "cropped" in Reading(Smic, tmp_path).report.title
    write_small(tmp_path / "SMIC_all_raw" / "HS")
    corpus = Reading(Smic, tmp_path)
    assert "raw" in corpus.report.title
    assert corpus.records[0].frames[0].name.startswith("image")
    (told,) = differences(corpus)
    assert "SMIC_all_cropped/HS holds clips too" in told


def test_cropped_frames_are_known_by_their_names(tmp_path):
    write_small(tmp_path / "HS", prefix="reg_image")
    assert "cropped" in Reading(Smic, tmp_path).report.title


def test_a_left_over_in_a_doubled_folder_does_not_win(tmp_path):
    write_clip(tmp_path / "SMIC_all_raw" / "HS", "s1_ne_01")
    fuller = write_small(tmp_path / "SMIC_all_raw" / "SMIC_all_raw" / "HS")
    corpus = Reading(Smic, tmp_path)
    assert corpus.report.root == fuller
    assert len(corpus.records) == 5
    assert differences(corpus) == [f"{tmp_path / 'SMIC_all_raw' / 'HS'} holds clips too"]


def test_only_micro_counts_and_junk_does_not(tmp_path):
    hs = write_small(tmp_path / "SMIC_all_raw" / "HS")
    for place in (hs / "s1" / "non_micro" / "s1_n1", hs / "s1" / "non-micro" / "negative" / "s1_ne_09"):
        place.mkdir(parents=True)
        (place / "image000001.bmp").write_bytes(b"pixels")
    for junk in (hs, hs / "s1", hs / "s1" / "micro", hs / "s1" / "micro" / "negative" / "s1_ne_01"):
        (junk / "Thumbs.db").write_bytes(b"")
        (junk / ".DS_Store").write_bytes(b"")
        (junk / "__MACOSX").mkdir()
    (tmp_path / "SMIC_all_raw" / "li2013microexpressions.pdf").write_bytes(b"%PDF")
    (tmp_path / "SMIC_all_raw" / "VIS" / "s11" / "micro" / "negative" / "s11_ne_01").mkdir(parents=True)
    corpus = Reading(Smic, tmp_path)
    assert len(corpus.records) == 5
    assert differences(corpus) == []


@pytest.mark.parametrize("level", ["s1", "s1/micro", "s1/micro/negative", "s1/micro/negative/s1_ne_01"])
def test_doubled_folders_inside_are_entered(tmp_path, level):
    hs = write_small(tmp_path / "SMIC_all_raw" / "HS")
    folder = hs / level
    folder.rename(tmp_path / "aside")
    folder.mkdir()
    (tmp_path / "aside").rename(folder / folder.name)
    corpus = Reading(Smic, tmp_path)
    assert len(corpus.records) == 5
    assert differences(corpus) == []


@pytest.mark.parametrize("place", ["", "HS", "HS/s1", "HS/s1/micro", "HS/s1/micro/negative/s1_ne_01"])
def test_links_in_circles_are_harmless(tmp_path, place):
    write_small(tmp_path / "SMIC_all_raw" / "HS")
    target = tmp_path / "SMIC_all_raw" / place
    (target / target.name).symlink_to(target)
    (target / "loop").symlink_to(tmp_path)
    assert len(Reading(Smic, tmp_path).records) == 5


class TestDifferences:
    @pytest.fixture
    def hs(self, tmp_path):
        return write_small(tmp_path / "SMIC_all_raw" / "HS")

    def read(self, hs):
        corpus = Reading(Smic, hs.parent)
        return {record.clip_id: record for record in corpus.records}, corpus

    def test_an_empty_clip_folder(self, hs):
        shutil.rmtree(hs / "s1" / "micro" / "negative" / "s1_ne_01")
        (hs / "s1" / "micro" / "negative" / "s1_ne_01").mkdir()
        records, corpus = self.read(hs)
        assert "s1_ne_01" not in records
        assert {key: each.reason for key, each in corpus.unusable.items()} == {"s1_ne_01": Reason.NO_FRAMES}
        (told,) = differences(corpus)
        assert told.startswith("s1_ne_01: no frames in ")

    def test_a_lacking_frame(self, hs):
        (hs / "s1" / "micro" / "negative" / "s1_ne_01" / "image034211.bmp").unlink()
        records, corpus = self.read(hs)
        record = records["s1_ne_01"]
        assert len(record.frames) == 12
        assert record.frames[3] == record.frames[2]
        assert record.frame_numbers[2:5] == (34210, 34210, 34212)
        folder = hs / "s1" / "micro" / "negative" / "s1_ne_01"
        told = f"s1_ne_01 lacks 1 of its frames 34208 to 34219 in {folder} (34211); the previous frame is used"
        assert differences(corpus) == [told]

    def test_a_padded_or_capital_subject_is_the_same_one(self, hs):
        (hs / "s1").rename(hs / "S01")
        records, corpus = self.read(hs)
        assert records["s1_ne_01"].subject == "s1"
        assert differences(corpus) == []

    def test_a_subject_folder_with_a_typing_error(self, hs):
        (hs / "s3").rename(hs / "sub3")
        records, corpus = self.read(hs)
        assert records["s3_sur_01"].subject == "s3"
        (told,) = differences(corpus)
        assert "sub3/micro/surprise/s3_sur_01 is read as a clip of subject s3" in told

    def test_a_clip_in_the_folder_of_another_subject(self, hs):
        write_clip(hs, "s3_ne_01", subject="s20")
        records, corpus = self.read(hs)
        assert records["s3_ne_01"].subject == "s20"
        assert "s3_ne_01 is read as a clip of subject s20; its names contradict" in differences(corpus)[0]

    def test_a_token_that_contradicts_the_class_folder(self, hs):
        write_clip(hs, "s1_sur_01", class_name="negative")
        records, corpus = self.read(hs)
        assert records["s1_sur_01"].labels["emotion"] == "negative"
        (told,) = differences(corpus)
        assert told.endswith("s1_sur_01 is named as surprise; read as negative by its folder")

    def test_a_class_folder_with_a_typing_error(self, hs):
        (hs / "s3" / "micro" / "surprise").rename(hs / "s3" / "micro" / "suprise")
        records, corpus = self.read(hs)
        assert records["s3_sur_01"].labels["emotion"] == "surprise"
        assert "lies in no class folder" in differences(corpus)[0]

    def test_a_clip_that_is_there_twice(self, hs):
        write_clip(hs, "s1_ne_01", class_name="positive")
        records, corpus = self.read(hs)
        assert records["s1_ne_01"].labels["emotion"] == "negative"
        assert any("clip s1_ne_01 is listed twice" in each for each in differences(corpus))
        assert len(records) == len(corpus.records) == 5

    def test_a_clip_folder_without_a_clip_name(self, hs):
        shutil.copytree(hs / "s1" / "micro" / "negative" / "s1_ne_01", hs / "s1" / "micro" / "negative" / "copy (2)")
        _, corpus = self.read(hs)
        assert len(corpus.records) == 5
        assert "copy (2) is not named s<N>_<ne|po|sur>_<kk> and is not read" in differences(corpus)[0]

    def test_a_folder_that_is_no_subject(self, hs):
        (hs / "backup").mkdir()
        _, corpus = self.read(hs)
        assert differences(corpus) == [f"{hs / 'backup'} has no folder micro and is not read"]

    def test_a_clip_of_unusual_length(self, hs):
        write_clip(hs, "s1_ne_02", num_frames=70)
        _, corpus = self.read(hs)
        assert differences(corpus) == ["s1_ne_02 has 70 frames; published clips have 11 to 58"]


class TestWrongFolder:
    def test_it_does_not_exist(self, tmp_path):
        with pytest.raises(
            CorpusError, match="nowhere does not exist; expected the folder that SMIC was unpacked into"
        ):
            Reading(Smic, tmp_path / "nowhere")

    def test_it_is_a_file(self, tmp_path):
        (tmp_path / "SMIC.zip").write_bytes(b"PK")
        with pytest.raises(CorpusError, match=r"SMIC.zip is a file"):
            Reading(Smic, tmp_path / "SMIC.zip")

    def test_it_holds_something_else(self, tmp_path):
        (tmp_path / "CASME2" / "sub01").mkdir(parents=True)
        (tmp_path / "readme.txt").write_text("")
        with pytest.raises(CorpusError, match=r"no SMIC \(hs\) in .*SMIC_all_raw or .*found: CASME2/, readme.txt"):
            Reading(Smic, tmp_path)

    def test_it_is_empty(self, tmp_path):
        with pytest.raises(CorpusError, match="found: nothing, the folder is empty"):
            Reading(Smic, tmp_path)

    @pytest.mark.parametrize("given", [".", "SMIC_all_raw", "SMIC_all_raw/VIS"])
    def test_it_holds_another_camera_only(self, tmp_path, given):
        write_small(tmp_path / "SMIC_all_raw" / "VIS")
        with pytest.raises(CorpusError, match=r"no SMIC \(hs\) in "):
            Reading(Smic, tmp_path / given)

    def test_no_clip_has_frames(self, tmp_path):
        write_small(tmp_path / "SMIC_all_raw" / "HS", num_frames=0)
        with pytest.raises(CorpusError, match=r"looks like SMIC, but no clip can be used.*no frames in "):
            Reading(Smic, tmp_path)


class TestSurrogate:
    def mark(self, folder, clips):
        marker = {"surrogate": True, "corpus": "smic", "seed": 3, "clips": clips}
        (folder / "SURROGATE.json").write_text(json.dumps(marker))

    @pytest.fixture
    def release(self, tmp_path):
        hs = write_small(tmp_path / "SMIC_all_raw" / "HS")
        clips = {
            folder.name: {"subject": folder.parts[-4], "class": folder.parts[-2]} for folder in hs.glob("*/micro/*/*")
        }
        self.mark(hs.parent, clips)
        return hs.parent

    @pytest.mark.parametrize("given", ["..", ".", "HS"])
    def test_it_is_never_taken_for_recordings(self, release, given):
        corpus = Reading(Smic, (release / given).resolve())
        assert corpus.provenance == "surrogate"
        assert corpus.corpus.marker["seed"] == 3

    def test_it_is_known_through_a_link(self, release, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "HS").symlink_to(release / "HS")
        assert Reading(Smic, tmp_path / "elsewhere").provenance == "surrogate"

    def test_recordings_beside_it_are_preferred(self, release, tmp_path):
        recordings = write_small(tmp_path / "z" / "SMIC_all_cropped" / "HS")
        corpus = Reading(Smic, tmp_path)
        assert (corpus.provenance, corpus.report.root) == ("licensed", recordings)
        assert differences(corpus) == [f"{release / 'HS'} holds clips too"]

    def test_its_own_clips_are_expected_of_it(self, release):
        assert Reading(Smic, release).report.differences == ()
        shutil.rmtree(release / "HS" / "s20" / "micro" / "negative" / "s20_ne_02")
        assert Reading(Smic, release).report.differences == (
            "class negative: 2 clips, expected 3",
            "subject s20: 1 clips, expected 2",
            "s20_ne_02: no folder for this clip of the marker file",
        )
