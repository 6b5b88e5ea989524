"""What a corpus consists of, settled before any pixel is rendered."""

import dataclasses
from collections.abc import Sequence

from datasets.surrogate.identity import Subject
from datasets.surrogate.scenario import DIFFICULTIES, ClipSpec, Difficulty
from datasets.surrogate.studio import CorpusGeometry
from mer_jax.errors import ConfigError, near_names

# Raise it with every change that alters a pixel: finished corpora of another version are not reused.
RENDERER_VERSION = 1
MARKER_NAME = "SURROGATE.json"


@dataclasses.dataclass(frozen=True)
class CorpusOptions:
    """What a user chooses; see `datasets.surrogate.corpus.render_corpus`."""

    difficulty: str = "medium"
    num_subjects: int = 16
    num_clips: int = 164
    seed: int = 0
    exact: bool = False

    def validate(self, num_classes: int) -> None:
        """Checks what can be checked before planning.

        Args:
            num_classes: of the corpus.

        Raises:
            ConfigError: if a value is out of its range.
        """
        if self.difficulty not in DIFFICULTIES:
            raise ConfigError(f"unknown difficulty {self.difficulty!r}; {near_names(self.difficulty, DIFFICULTIES)}")
        if self.num_subjects < 1:
            raise ConfigError(f"subjects is {self.num_subjects}; expected 1 or more")
        if self.num_clips < max(self.num_subjects, num_classes):
            raise ConfigError(
                f"clips is {self.num_clips}, but each of {self.num_subjects} subjects and of {num_classes} classes "
                f"needs at least one: give {max(self.num_subjects, num_classes)} or more clips, or fewer subjects"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")


@dataclasses.dataclass(frozen=True, eq=False)
class ClipPlan:
    """A clip and where its frames go.

    Attributes:
        clip_id: unique in the corpus.
        folder: of the frames, relative to the corpus root.
        file_names: one for each frame.
        spec: what happens.
    """

    clip_id: str
    folder: str
    file_names: tuple[str, ...]
    spec: ClipSpec


@dataclasses.dataclass(frozen=True, eq=False)
class SubjectPlan:
    """A subject, the folder that holds all its clips (relative to the root), and the clips."""

    name: str
    folder: str
    subject: Subject
    clips: tuple[ClipPlan, ...]

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
    """

    corpus: str
    title: str
    root_name: str
    geometry: CorpusGeometry
    options: CorpusOptions
    subjects: tuple[SubjectPlan, ...]

    @property
    def difficulty(self) -> Difficulty:
        """The preset chosen."""
        return DIFFICULTIES[self.options.difficulty]

    @property
    def num_frames(self) -> int:
        """Frames of all subjects."""
        return sum(subject.num_frames for subject in self.subjects)

    def identity(self) -> dict:
        """What distinguishes this corpus from every other rendered one; JSON values only."""
        return {
            "surrogate": True,
            "corpus": self.corpus,
            "renderer_version": RENDERER_VERSION,
            "seed": self.options.seed,
            "difficulty": self.options.difficulty,
            "num_subjects": self.options.num_subjects,
            "num_clips": self.options.num_clips,
            "exact": self.options.exact,
            "difficulty_values": dataclasses.asdict(self.difficulty),
        }

    def marker(self) -> dict:
        """The content of `SURROGATE.json`: the identity, and the truth of every clip (frames 0-based)."""
        clips = {
            clip.clip_id: {
                "subject": subject.name,
                "class": clip.spec.class_name,
                "shown_class": clip.spec.shown_class,
                "action_units": list(clip.spec.action_units),
                "peak_percent_iod": {unit: round(peak, 4) for unit, peak in clip.spec.peaks.items()},
                "onset": 0,
                "apex": clip.spec.apex,
                "offset": clip.spec.num_frames - 1,
                "folder": clip.folder,
            }
            for subject in self.subjects
            for clip in subject.clips
        }
        return {**self.identity(), "clips": clips}


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Shares out `total` in proportion to the weights, at least 1 to each (largest remainders).

    Example:
        >>> apportion(164, (51, 70, 43)), apportion(12, (51, 70, 43)), apportion(3, (51, 70, 43))
        ([51, 70, 43], [4, 5, 3], [1, 1, 1])
    """
    spare = total - len(weights)
    # One is given to each; the rest follows what is then still missing from the proportional share.
    wanted = [max(0.0, total * weight / sum(weights) - 1) for weight in weights]
    scale = spare / sum(wanted) if sum(wanted) else 0.0
    shares = [int(scale * want + 1e-9) for want in wanted]
    by_remainder = sorted(range(len(weights)), key=lambda each: shares[each] - scale * wanted[each])
    for each in by_remainder[: spare - sum(shares)]:
        shares[each] += 1
    return [1 + share for share in shares]
