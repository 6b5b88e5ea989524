"""Facts about a built corpus beside its pictures: lengths and movements of clips, and what was left out or repaired."""

import dataclasses
import os
from typing import Any

from datasets.read import read_metadata


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """Facts about one clip.

    Attributes:
        num_frames: From onset to offset, as released.
        amplitude: The largest movement of an action unit at the apex, in percent of the distance between the eyes;
            known of rendered faces only.
    """

    num_frames: int
    amplitude: float | None


# Findings that change which frames a clip has.
_REPAIRS = ("repairs", "frames_missing", "apex_out_of_range")


@dataclasses.dataclass(frozen=True)
class CorpusFacts:
    """Facts about a built corpus.

    Attributes:
        clips: Facts of every clip, by clip id.
        left_out: Why a clip that the release lists is not in the build, by clip id.
        repaired: One sentence for every repair of a clip.
        doubtful: What is doubtful about a clip that is used, by clip id.
    """

    clips: dict[str, ClipFacts]
    left_out: dict[str, str]
    repaired: tuple[str, ...]
    doubtful: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Returns what was left out and repaired as plain values."""
        return {"left_out": self.left_out, "repaired": list(self.repaired), "doubtful": self.doubtful}


def read_facts(builder_dir: str | os.PathLike[str]) -> CorpusFacts:
    """Reads the facts about a built corpus.

    Args:
        builder_dir: Result of `datasets.build.build`.

    Raises:
        CorpusError: Nothing is built there, or it has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    amplitude = metadata.get("amplitude", {})
    findings = metadata.get("findings", {})
    return CorpusFacts(
        clips={clip: ClipFacts(frames, amplitude.get(clip)) for clip, frames in metadata.get("num_frames", {}).items()},
        left_out={clip: each["detail"] for clip, each in metadata["skipped"].items()},
        repaired=tuple(sentence for kind in _REPAIRS for sentence in findings.get(kind, ())),
        doubtful=metadata.get("doubtful", {}),
    )
