"""What a corpus consists of, settled before any pixel is rendered."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from datasets.surrogate.identity import Subject
from datasets.surrogate.scenario import DIFFICULTIES, UNIT_SETS, ClipSpec, Difficulty, UnitSets, sample_clip
from datasets.surrogate.studio import CorpusGeometry
from mer_jax.errors import ConfigError, near_names

# Raise it with every change that alters a pixel: finished corpora of another version are not reused.
RENDERER_VERSION = 1  # of the surrogate's version 1
RICH_RENDERER_VERSION = 101  # of its version 2
VERSIONS = (1, 2)
MARKER_NAME = "SURROGATE.json"
SCALES = (0.2, 1.0)  # of frames; below, eyes are too small to be drawn


@dataclasses.dataclass(frozen=True)
class CorpusOptions:
    """What a user chooses; see `datasets.surrogate.corpus.render_corpus`."""

    difficulty: str = "medium"
    num_subjects: int = 16
    num_clips: int = 164
    seed: int = 0
    exact: bool = False
    quirks: bool = False
    scale: float = 1.0
    version: int = 1
    duration_s: float | None = None

    def validate(
        self, num_classes: int = 1, title: str = "", *, has_exact: bool = True, max_subjects: int | None = None
    ) -> None:
        """Checks what can be checked before planning.

        Args:
            num_classes: that must occur, whatever the number of clips.
            title: of the release, for errors.
            has_exact: whether the release itself has lossless frames.
            max_subjects: of the release, where there are no names for more.

        Raises:
            ConfigError: if a value is out of its range.
        """
        if self.difficulty not in DIFFICULTIES:
            raise ConfigError(f"unknown difficulty {self.difficulty!r}; {near_names(self.difficulty, DIFFICULTIES)}")
        if self.version not in VERSIONS:
            raise ConfigError(f"version of the surrogate is {self.version}; expected one of {VERSIONS}")
        if self.num_subjects < 1:
            raise ConfigError(f"subjects is {self.num_subjects}; expected 1 or more")
        if self.num_clips < max(self.num_subjects, num_classes):
            raise ConfigError(
                f"clips is {self.num_clips}, but each of {self.num_subjects} subjects and of {num_classes} classes "
                f"needs at least one: give {max(self.num_subjects, num_classes)} or more clips, or fewer subjects"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")
        if not SCALES[0] <= self.scale <= SCALES[1]:
            raise ConfigError(f"scale is {self.scale}; expected {SCALES[0]} to {SCALES[1]} (1: as released)")
        if self.exact and not has_exact:
            raise ConfigError(f"exact frames are BMP, but {title} is released as JPEG: leave --exact out")
        if max_subjects is not None and self.num_subjects > max_subjects:
            raise ConfigError(f"subjects is {self.num_subjects}, but {title} has {max_subjects}: give at most as many")

    @property
    def difficulty_preset(self) -> Difficulty:
        """The values behind the name of the difficulty."""
        return DIFFICULTIES[self.difficulty]

    def sample_clip(
        self,
        number: int,
        subject: Subject,
        label: str,
        geometry: CorpusGeometry,
        *,
        unit_sets: Mapping[str, UnitSets] = UNIT_SETS,
        gain: float = 1.0,
        duration_s: tuple[float, float, float] | None = None,
    ) -> ClipSpec:
        """Draws a clip; see `datasets.surrogate.scenario.sample_clip`.

        Args:
            number: Of the clip in all corpora; with the seed it determines the clip.
            subject: Who.
            label: A key of `unit_sets`.
            geometry: How it is filmed.
            unit_sets: What each label moves.
            gain: Factor on the amplitude of the difficulty.
            duration_s: Shortest, typical and longest duration; None takes those of the geometry.
        """
        difficulty = self.difficulty_preset
        return sample_clip(
            np.random.default_rng([self.seed, 9, number]),
            subject,
            label,
            dataclasses.replace(difficulty, amplitude=gain * difficulty.amplitude),
            fps=geometry.fps,
            duration_s=duration_s or geometry.duration_s,
            unit_sets=unit_sets,
            version=self.version,
        )

    def scale_shape(self, shape: Sequence[int]) -> tuple[int, int]:
        """Returns height and width of a registered face in the scale of the frames."""
        height, width = shape
        return round(height * self.scale), round(width * self.scale)


@dataclasses.dataclass(frozen=True, eq=False)
class FrameFolder:
    """A folder that gets the frames of a clip.

    Attributes:
        folder: relative to the corpus root.
        file_names: one for each frame; None for a frame that this folder lacks.
        face_shape: height and width of the registered face that is cut out; None for whole frames.
    """

    folder: str
    file_names: tuple[str | None, ...]
    face_shape: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ClipPlan:
    """A clip and where its frames go.

    Attributes:
        clip_id: unique in the corpus.
        spec: what happens.
        folders: that get its frames, one in each tree of the release.
        annotation: what the release's tables say of it beyond its class; frame numbers are those of the file names.
        is_annotated: False for a clip that has a folder, but no row in the tables.
        video: file that gets all its frames, relative to the corpus root; "" for none.
        truth: what the marker says of it, where that is not the one expression of a short clip.
    """

    clip_id: str
    spec: ClipSpec
    folders: tuple[FrameFolder, ...]
    annotation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_annotated: bool = True
    video: str = ""
    truth: Mapping[str, Any] | None = None

    def files(self) -> Iterator[tuple[str, str]]:
        """Every file of its frames: folder relative to the root, and name."""
        for place in self.folders:
            yield from ((place.folder, name) for name in place.file_names if name is not None)
        if self.video:
            yield split_path(self.video)

    def describe(self, subject: str) -> dict[str, Any]:
        """Ground truth of the video for the marker file; frames are 0-based."""
        if self.truth is not None:
            return {"subject": subject, "class": self.spec.class_name, **self.truth}
        return {
            "subject": subject,
            "class": self.spec.class_name,
            "shown_class": self.spec.shown_class,
            "action_units": list(self.spec.action_units),
            "peak_percent_iod": {unit: round(peak, 4) for unit, peak in self.spec.peaks.items()},
            "onset": 0,
            "apex": self.spec.apex,
            "offset": self.spec.num_frames - 1,
            "folder": self.folders[0].folder,
            **({"annotation": dict(self.annotation)} if self.annotation else {}),
        }


@dataclasses.dataclass(frozen=True, eq=False)
class SubjectPlan:
    """A subject and everything that is rendered of it.

    Attributes:
        name: as the release spells it.
        folders: that hold all its files and nobody else's, relative to the root; one in each tree.
        subject: who.
        clips: in the order of rendering.
        copies: files (relative to the root, in `folders`) that repeat a rendered one, with the path of that.
    """

    name: str
    folders: tuple[str, ...]
    subject: Subject
    clips: tuple[ClipPlan, ...]
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def num_frames(self) -> int:
        """Frames of all clips."""
        return sum(clip.spec.num_frames for clip in self.clips)


@dataclasses.dataclass(frozen=True, eq=False)
class CorpusPlan:
    """All of a corpus.

    Attributes:
        corpus: its name, as on the command line.
        title: how people call it.
        root_name: the folder that the release extracts to.
        geometry: how it was filmed.
        options: what the user chose.
        subjects: in the order of rendering.
        documents: files that are no frames, by path relative to the root: tables, and what systems leave behind.
        quirks: what is wrong in this copy, as it is in real ones; one sentence each.
        variant: what part of the release it is, where there are several; "" for the first.
    """

    corpus: str
    title: str
    root_name: str
    geometry: CorpusGeometry
    options: CorpusOptions
    subjects: tuple[SubjectPlan, ...]
    documents: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    quirks: tuple[str, ...] = ()
    variant: str = ""

    @property
    def num_frames(self) -> int:
        """Frames of all subjects."""
        return sum(subject.num_frames for subject in self.subjects)

    def identity(self) -> dict:
        """What distinguishes this corpus from every other rendered one; JSON values only."""
        identity = {
            "surrogate": True,
            "corpus": self.corpus,
            "renderer_version": RENDERER_VERSION if self.options.version == 1 else RICH_RENDERER_VERSION,
            "seed": self.options.seed,
            "difficulty": self.options.difficulty,
            "num_subjects": self.options.num_subjects,
            "num_clips": self.options.num_clips,
            "exact": self.options.exact,
            "difficulty_values": dataclasses.asdict(self.options.difficulty_preset),
        }
        # What is not usual stands there only when it is so: finished corpora stay what they were.
        if self.variant:
            identity["variant"] = self.variant
        if self.options.scale != 1:
            identity["scale"] = self.options.scale
        if self.options.duration_s is not None:
            identity["duration_s"] = self.options.duration_s
        if self.options.quirks:
            identity["quirks"] = list(self.quirks)
        return identity

    def files(self) -> Iterator[tuple[str, str]]:
        """Every file but the marker and its note: folder relative to the root ("" for itself), and name."""
        for subject in self.subjects:
            for clip in subject.clips:
                yield from clip.files()
            yield from (split_path(path) for path in subject.copies)
        yield from (split_path(path) for path in self.documents)

    def marker(self) -> dict:
        """The content of `SURROGATE.json`: the identity, and the truth of every annotated clip (frames 0-based)."""
        clips = {
            clip.clip_id: clip.describe(subject.name)
            for subject in self.subjects
            for clip in subject.clips
            if clip.is_annotated
        }
        return {**self.identity(), "clips": clips}


def name_frames(onset: int, spec: ClipSpec) -> dict[str, int]:
    """Returns what tables say of the frames of a clip whose first frame has the number `onset`."""
    return {"onset_frame": onset, "apex_frame": onset + spec.apex, "offset_frame": onset + spec.num_frames - 1}


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Shares out `total` in proportion to the weights, at least 1 to each (largest remainders).

    Where there is not one for each, those of the largest weight get one.

    Example:
        >>> apportion(164, (51, 70, 43)), apportion(12, (51, 70, 43)), apportion(3, (51, 70, 43))
        ([51, 70, 43], [4, 5, 3], [1, 1, 1])
        >>> apportion(2, (51, 70, 43))
        [1, 1, 0]
    """
    if total < len(weights):
        largest = sorted(range(len(weights)), key=lambda each: -weights[each])[:total]
        return [int(each in largest) for each in range(len(weights))]
    spare = total - len(weights)
    # One is given to each; the rest follows what is then still missing from the proportional share.
    wanted = [max(0.0, total * weight / sum(weights) - 1) for weight in weights]
    scale = spare / sum(wanted) if sum(wanted) else 0.0
    shares = [int(scale * want + 1e-9) for want in wanted]
    by_remainder = sorted(range(len(weights)), key=lambda each: shares[each] - scale * wanted[each])
    for each in by_remainder[: spare - sum(shares)]:
        shares[each] += 1
    return [1 + share for share in shares]


def split_path(path: str) -> tuple[str, str]:
    """Returns the folder of a relative path, "" for none, and the name."""
    folder, _, name = path.rpartition("/")
    return folder, name
