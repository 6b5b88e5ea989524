"""What is known of built clips beside their pictures: how long they last, and how far the face moves."""

import dataclasses
import os
from pathlib import Path

from datasets.read import compared_examples, read_metadata
from datasets.release import find_corpus_marker
from mer_jax.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """Facts of one clip.

    Attributes:
        num_frames: from onset to offset, as released.
        amplitude: the largest movement of an action unit at the apex, in percent of the distance between the eyes;
            known of rendered faces only.
    """

    num_frames: int
    amplitude: float | None


def read_facts(builder_dir: str | os.PathLike[str]) -> dict[str, ClipFacts]:
    """Reads the facts of a built corpus, by clip id.

    Args:
        builder_dir: what `datasets.build.build` returned.

    Raises:
        CorpusError: nothing was built there, or what was built has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    moved: dict[str, float] = {}
    if metadata["provenance"] == "surrogate":
        try:
            marker = find_corpus_marker(Path(metadata["report"]["root"])) or {}
        except CorpusError:  # the surrogate was moved or removed after the build; its clips are still there
            marker = {}
        for clip_id, entry in marker.get("clips", {}).items():
            if peaks := entry.get("peak_percent_iod"):
                moved[clip_id] = max(peaks.values())
    return {
        clip_id: ClipFacts(int(example["num_frames_native"]), moved.get(clip_id))
        for clip_id, example in compared_examples(builder_dir)
    }
