"""What reading a release gives: clips with all their labels, and the clips that cannot be used with the reason."""

import dataclasses
import enum
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer_jax.errors import CorpusError

# Labels of a clip, as annotated, in lower case; "" where a release has none. They are features of every built clip.
LABELS = (
    "emotion",  # estimated by coders
    "coarse_emotion",  # negative, positive, surprise or others
    "self_report",  # what the person said to have felt
    "stimulus",  # kind of the film that was shown
    "objective_class",  # of action units, after Davison et al. 2018
    "action_units",  # as FACS coders write them, such as 4+L10
    "kind",  # macro or micro
)


@dataclasses.dataclass(frozen=True)
class ClipRecord:
    """One annotated clip of a corpus; its frames are not opened yet.

    Attributes:
        clip_id: Unique within the corpus.
        subject: Person in the clip, spelled as in the corpus.
        corpus: Name of the corpus, such as "smic".
        labels: By field, see `LABELS`; a missing field is "".
        frames: Image files from onset to offset in temporal order. Where the release lacks a frame, the previous one
            takes its place.
        frame_numbers: Camera counter of each of these files.
        onset: Position in `frames`, 0-based.
        apex: Position in `frames`, 0-based; None where the corpus does not say.
        offset: Position in `frames`, 0-based, inclusive.
    """

    clip_id: str
    subject: str
    corpus: str
    labels: Mapping[str, str]
    frames: tuple[Path, ...]
    frame_numbers: tuple[int, ...]
    onset: int
    apex: int | None
    offset: int


class Reason(enum.Enum):
    """Why a clip cannot be used."""

    NO_FOLDER = "no folder"
    NO_FRAMES = "no frames"
    NO_RANGE = "no onset or offset"
    WRONG_RANGE = "impossible onset and offset"
    FEW_FRAMES = "too few of its frames"
    NO_FACE = "no face"
    UNREADABLE = "unreadable frame"
    UNFIT = "unfit after preparation"


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A clip that the release lists and that cannot be used.

    Attributes:
        reason: Why.
        detail: One sentence for people, with file or row.
        record: The clip, without frames where it has none.
    """

    reason: Reason
    detail: str
    record: ClipRecord

    def to_json(self) -> dict[str, str]:
        """Returns reason and detail as plain values."""
        return {"reason": self.reason.value, "detail": self.detail}


@dataclasses.dataclass(frozen=True)
class Published:
    """Counts that the owners published for one part of a release.

    Attributes:
        by_label: Clips per emotion, or per value of `field`.
        by_subject: Clips per subject; empty where they are not known.
        field: Label that `by_label` counts.
        by_class: Clips per class of every scheme; None takes the counts of the scheme.
    """

    by_label: Mapping[str, int]
    by_subject: Mapping[str, int]
    field: str = "emotion"
    by_class: Mapping[str, int] | None = None


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One part of a release as read from disk.

    Attributes:
        name: Name of the corpus, such as "smic".
        title: As people write it.
        part: Tree or camera that was read.
        form: Raw or cropped, where a part comes in several forms.
        root: Folder that was read.
        provenance: "licensed", "surrogate" or "unstated".
        records: Clips that can be used, whatever their label, sorted by clip id.
        unusable: The others, by clip id.
        published: Counts to compare with.
        findings: What differs, sentences by kind; see `datasets.report.FINDINGS`.
        annotation: File that labels were read from; None where folder names are the labels.
        marker: Content of the surrogate's marker file; None for recordings.
    """

    name: str
    title: str
    part: str
    root: Path
    provenance: str
    records: tuple[ClipRecord, ...]
    unusable: Mapping[str, Unusable]
    published: Published
    findings: Mapping[str, tuple[str, ...]]
    annotation: Path | None = None
    marker: Mapping[str, Any] | None = None
    form: str = ""

    def listed(self) -> list[ClipRecord]:
        """Returns all clips that the release lists, those that cannot be used included."""
        return [*self.records, *(each.record for each in self.unusable.values())]

    def source_fingerprint(self) -> str:
        """Identifies the source by the names, labels, sizes and times of its files, without opening them.

        Returns:
            32 hexadecimal digits.

        Raises:
            CorpusError: A frame vanished after the folder was listed.
        """
        digest = hashlib.sha256(f"{self.name} {self.part} {self.provenance}".encode())
        for record in self.records:
            labels = sorted((field, label) for field, label in record.labels.items() if label)
            key = (record.clip_id, record.subject, labels, record.onset, record.apex, record.offset)
            digest.update(repr(key).encode())
            for path in dict.fromkeys(record.frames):
                try:
                    status = path.stat()
                except OSError as error:
                    raise CorpusError(f"cannot look at frame {path}: {error.strerror}.") from error
                relative = os.path.relpath(path, self.root)
                digest.update(os.fsencode(relative) + f"|{status.st_size}|{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:32]
