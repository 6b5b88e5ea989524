"""Readers of long videos with annotated intervals, the ground truth for spotting.

    from datasets.long_videos import read_long
    videos = read_long("casme_squared", "~/CAS(ME)^2")

Frames are not opened; frame numbers become positions in the video, 0-based. What an annotation lacks is repaired where
the field agrees how, and everything that is repaired or left out is reported.
"""

import abc
import bisect
import dataclasses
import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from datasets.annotated import AnnotatedRelease
from datasets.cutting import Annotation, Key
from datasets.discovery import check_manual_dir
from datasets.folders import describe_folder, find_folders, find_marker, list_frames
from datasets.report import FINDINGS, Findings
from mer_jax.data.provenance import surrogate_mark
from mer_jax.errors import ConfigError, CorpusError, DecodeError, near_names
from mer_jax.spotting.interval import EXPRESSIONS, MACRO, MICRO, Interval
from mer_jax.system.files import natural_key
from mer_jax.vision.libraries import cv2, quiet_opencv

LONG = "long"  # name of the TFDS config, and of the variant of `datasets.build`
_DEPTH = 5  # levels below the given folder at which the folder of videos is looked for
_FORMS = ("frames", "video")  # in which a video is stored, the one that the annotation counts in first


@dataclasses.dataclass(frozen=True)
class LongExpression:
    """An annotated expression in a long video.

    Attributes:
        name: Of the row, such as anger1_1 or 006_1_2.
        interval: When, in positions of the video; its kind is micro or macro.
        emotion: As annotated, lower case; "" where the release has none.
        coarse_emotion: negative, positive, surprise or others; "" where it is not known.
        action_units: As coders wrote them.
    """

    name: str
    interval: Interval
    emotion: str
    coarse_emotion: str
    action_units: str


@dataclasses.dataclass(frozen=True)
class LongVideo:
    """A long video with its annotated expressions.

    Attributes:
        name: Path below the folder of videos, such as s15/15_0101disgustingteeth or 006_1; unique.
        subject: Person in it, spelled as in the release.
        path: Folder of frames, or video file.
        frame_rate: Frames per second.
        num_frames: Frames that are there.
        expressions: In the order of their onsets; empty where nothing was expressed.
    """

    name: str
    subject: str
    path: Path
    frame_rate: float
    num_frames: int
    expressions: tuple[LongExpression, ...] = ()

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Intervals of all expressions."""
        return tuple(each.interval for each in self.expressions)

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions of all expressions, as annotated."""
        return tuple(each.emotion for each in self.expressions)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.frame_rate


@dataclasses.dataclass(frozen=True)
class LongCorpus:
    """All long videos of a release, as read from disk.

    Attributes:
        name: Of the corpus, such as casme_squared.
        title: As people write it.
        root: Folder of videos.
        provenance: "licensed" or "surrogate".
        videos: In natural order of their names, those without an expression too.
        findings: What was repaired or left out, sentences by kind; see `datasets.report.FINDINGS`.
        annotation: File that intervals were read from.
        marker: Content of the surrogate's marker file; None for recordings.
    """

    name: str
    title: str
    root: Path
    provenance: str
    videos: tuple[LongVideo, ...]
    findings: Mapping[str, tuple[str, ...]]
    annotation: Path
    marker: Mapping[str, Any] | None = None

    def count(self, kind: str) -> int:
        """Counts the annotated expressions of one kind (macro or micro)."""
        return sum(each.kind == kind for video in self.videos for each in video.intervals)

    def lines(self) -> Iterator[str]:
        """Yields a human-readable summary of the copy, line by line."""
        still = sum(not video.expressions for video in self.videos)
        people = len({video.subject for video in self.videos})
        minutes = sum(video.duration_s for video in self.videos) / 60
        mark = surrogate_mark(self.provenance, after=" ")
        title = f"{mark}{self.title}, long videos, {self.provenance}"
        yield f"{title}: {len(self.videos)} videos of {people} people, {minutes:.1f} minutes, in {self.root}"
        yield f"  labels:     {self.annotation}"
        yield f"  intervals:  {self.count(MACRO)} macro, {self.count(MICRO)} micro; videos without any: {still}"
        if mark:
            yield "  These are rendered faces, not recordings: no result on them says anything about people."
        for kind, sentences in self.findings.items():
            yield from (f"  {FINDINGS[kind]}: {sentence}" for sentence in sentences)

    def to_json(self) -> dict[str, Any]:
        """Returns the same as plain values that `json.dumps` takes."""
        return {
            "corpus": self.name,
            "usable": True,
            "root": str(self.root),
            "provenance": self.provenance,
            "num_videos": len(self.videos),
            "num_frames": sum(video.num_frames for video in self.videos),
            MACRO: self.count(MACRO),
            MICRO: self.count(MICRO),
            "findings": {kind: list(sentences) for kind, sentences in self.findings.items()},
        }


@dataclasses.dataclass(frozen=True)
class Footage:
    """A video on disk, before its annotation is read.

    Attributes:
        video: Without expressions.
        numbers: Frame numbers that the annotation uses, ascending, one a frame.
    """

    video: LongVideo
    numbers: range | list[int]


class LongRelease(AnnotatedRelease):
    """A release of long videos; an instance is one copy on disk.

    Attributes:
        frame_rate: Frames per second.
        published_numbers: Expressions by kind, and videos, that the owners published.
        expected_videos: What is looked for, for errors.
    """

    frame_rate: ClassVar[float]
    published_numbers: ClassVar[Mapping[str, int]]
    expected_videos: ClassVar[str]

    @abc.abstractmethod
    def find_videos(self, root: Path) -> dict[Key, tuple[str, str, Path]]:
        """Lists name, subject and path of each video in a folder by its key; empty if this is no folder of videos."""

    def coarse_emotion(self, annotation: Annotation) -> str:
        """Returns negative, positive, surprise or others; "" where it is not known."""
        return annotation.labels.get("coarse_emotion", "")

    def emotion(self, annotation: Annotation) -> str:
        """Returns the annotated emotion; "" if the release has none."""
        return annotation.labels.get("emotion", "")

    @classmethod
    def read_long(cls, manual_dir: str | os.PathLike[str]) -> LongCorpus:
        """Finds the videos below a folder and reads their annotation; opens no frame.

        Args:
            manual_dir: Folder that the release was unpacked into.

        Raises:
            CorpusError: The videos or their annotation are not there or cannot be read.
        """
        return cls(Path(manual_dir).expanduser())._read_long()

    def _read_long(self) -> LongCorpus:
        root, marker = self._find_videos_root()
        footage = self._open_all(self.find_videos(root))
        path, rows = self.read_rows(root)
        annotations, _ = self.interpret_rows(rows)
        found: dict[Key, list[LongExpression]] = {key: [] for key in footage}
        for row in annotations.values():
            key = self.folder_key(row)
            if key not in footage:
                self.findings.add("rows_without_folder", f"{row.clip_id}: no video for {row.place}")
            elif (expression := self._place(row, footage[key])) is not None:
                found[key].append(expression)
        videos = [
            dataclasses.replace(
                each.video, expressions=tuple(sorted(found[key], key=lambda one: one.interval.onset_frame))
            )
            for key, each in footage.items()
        ]
        videos.sort(key=lambda video: natural_key(video.name))
        if not any(video.expressions for video in videos) and annotations:
            told = [sentence for each in self.findings.collected().values() for sentence in each]
            raise CorpusError(f"{root}: no row of {path} belongs to one of its videos: {'; '.join(told[:3])}.")
        provenance = "licensed" if marker is None else "surrogate"
        corpus = LongCorpus(self.name, self.title, root, provenance, tuple(videos), {}, path or root, marker)
        if marker is None:
            self._compare_counts(corpus)
        return dataclasses.replace(corpus, findings=self.findings.collected())

    def _find_videos_root(self) -> tuple[Path, Mapping[str, Any] | None]:
        """Chooses the root folder: recordings before surrogates, frame folders before video files, then the largest."""
        check_manual_dir(self.manual_dir, self.title)
        roots = []
        for root in find_folders(self.manual_dir, lambda folder: bool(self.find_videos(folder)), max_depth=_DEPTH):
            paths = [path for _, _, path in self.find_videos(root).values()]
            roots.append((find_marker(root), "frames" if paths[0].is_dir() else "video", len(paths), root))
        self.findings = Findings()  # of all folders that were tried
        if not roots:
            raise CorpusError(
                f"no long videos of {self.title} in {self.manual_dir}. Looked up to {_DEPTH} levels down for "
                f"{self.expected_videos}; found: {describe_folder(self.manual_dir)}. Point manual_dir at the folder "
                f"that you unpacked {self.title} into; datasets/{self.name}/README.md says where to ask for a copy."
            )
        roots.sort(key=lambda each: (each[0] is not None, _FORMS.index(each[1]), -each[2]))
        marker, _, _, root = roots[0]
        self.findings.add("not_read", *(f"{other} holds long videos too" for *_, other in roots[1:]))
        return root, marker

    def _open_all(self, found: Mapping[Key, tuple[str, str, Path]]) -> dict[Key, Footage]:
        footage = {}
        for key, (name, subject, path) in found.items():
            rate, numbers = self.frame_rate, self._list_numbers(path)
            if path.is_file():
                try:
                    rate, count = read_video_header(path)
                except DecodeError as error:
                    self.findings.add("unusable", str(error))
                    continue
                numbers = range(1, count + 1)
                if abs(rate - self.frame_rate) > 0.01 * self.frame_rate:
                    self.findings.add("other", f"{path} has {rate:g} frames a second; expected {self.frame_rate:g}")
            if not len(numbers):
                self.findings.add("unusable", f"{path} has no frames")
                continue
            footage[key] = Footage(LongVideo(name, subject, path, rate, len(numbers)), numbers)
        return footage

    def _list_numbers(self, path: Path) -> list[int]:
        if path.is_file():
            return []
        _, numbers, oddities = list_frames(path)
        self.findings.add("other", *oddities)
        if numbers and (lacking := numbers[-1] - numbers[0] + 1 - len(numbers)):
            self.findings.add("frames_missing", f"{path} lacks {lacking} of its frames {numbers[0]} to {numbers[-1]}")
        return numbers

    def _place(self, row: Annotation, footage: Footage) -> LongExpression | None:
        """Converts a row to an expression in 0-based frames; None, with a finding, if the row is invalid."""
        who, numbers = f"{row.clip_id} ({row.place})", footage.numbers
        kind = row.labels.get("kind", "")
        if kind not in EXPRESSIONS:
            self.findings.add("unusable", f"{who}: type {kind[:60]!r}; expected macro or micro")
            return None
        onset, apex, offset = row.onset, row.apex, row.offset
        if offset is None and apex is not None:
            offset = apex
            self.findings.add("repairs", f"{who}: no offset; the apex, frame {apex}, is used")
        if onset is None or offset is None:
            self.findings.add("unusable", f"{who}: no {'onset' if onset is None else 'offset and no apex'}")
            return None
        if onset < numbers[0] <= offset:
            self.findings.add("repairs", f"{who}: onset {onset} lies before the video; its first frame is used")
            onset = numbers[0]
        if onset <= numbers[-1] < offset:
            self.findings.add("repairs", f"{who}: offset {offset} lies behind the video; its last frame is used")
            offset = numbers[-1]
        if not numbers[0] <= onset <= offset <= numbers[-1]:
            there = f"the video has frames {numbers[0]} to {numbers[-1]}"
            self.findings.add("unusable", f"{who}: frames {onset} to {offset}; {there}")
            return None
        if apex is None:
            apex = (onset + offset) // 2
            self.findings.add("repairs", f"{who}: no apex; the frame in the middle, {apex}, is used")
        elif not onset <= apex <= offset:
            nearest = min(max(apex, onset), offset)
            told = f"{who}: apex {apex} is not within onset {onset} to offset {offset}"
            self.findings.add("apex_out_of_range", f"{told}; frame {nearest} is used")
            apex = nearest
        first, top, last = (bisect.bisect_right(numbers, number) - 1 for number in (onset, apex, offset))
        return LongExpression(
            name=row.clip_id,
            interval=Interval(onset_frame=first, apex_frame=top, offset_frame=last, kind=kind),
            emotion=self.emotion(row),
            coarse_emotion=self.coarse_emotion(row),
            action_units=row.labels.get("action_units", ""),
        )

    def _compare_counts(self, corpus: LongCorpus) -> None:
        there = {kind: corpus.count(kind) for kind in EXPRESSIONS} | {"videos": len(corpus.videos)}
        for name, published in self.published_numbers.items():
            if there[name] != published:
                self.findings.add("counts", f"{there[name]} {name}; published are {published}")


def read_video_header(path: Path) -> tuple[float, int]:
    """Returns frame rate and number of frames of a video file, as its header says.

    Raises:
        DecodeError: It cannot be opened, or its header lacks one of them.
    """
    with quiet_opencv():
        capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    try:
        rate, count = (capture.get(each) for each in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    if not (rate > 0 and count >= 1):
        raise DecodeError(
            f"{path} ({path.stat().st_size:,} bytes) does not open as a video of known rate and length; copy it again"
        )
    return float(rate), int(count)


def long_corpora() -> list[str]:
    """Lists the corpora with long videos: every folder of this package with a `long.py`."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/long.py"))


def find_long_release(corpus: str) -> type[LongRelease]:
    """Returns the reader of the long videos of a corpus.

    Raises:
        ConfigError: No corpus of that name has long videos.
    """
    if corpus not in long_corpora():
        raise ConfigError(f"no long videos of corpus {corpus!r} are known; {near_names(corpus, long_corpora())}")
    return importlib.import_module(f"datasets.{corpus}.long").Videos


def read_long(corpus: str, manual_dir: str | os.PathLike[str]) -> list[LongVideo]:
    """Reads the long videos of a release with their annotations, without TFDS.

    Args:
        corpus: One of `long_corpora()`.
        manual_dir: Folder that the release, or its surrogate, is in.

    Returns:
        All videos, those without an expression too. `find_long_release(corpus).read_long(manual_dir)` also says what
        was repaired and left out.

    Raises:
        ConfigError: No such corpus.
        CorpusError: The videos or their annotation are not there or cannot be read.
    """
    return list(find_long_release(corpus).read_long(manual_dir).videos)
