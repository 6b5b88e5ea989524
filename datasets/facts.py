"""Facts about built clips beside their pictures: how long they are, and how far the face moves."""

import dataclasses
import os

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


def read_facts(builder_dir: str | os.PathLike[str]) -> dict[str, ClipFacts]:
    """Reads the facts about a built corpus, by clip id.

    Args:
        builder_dir: Result of `datasets.build.build`.

    Raises:
        CorpusError: Nothing is built there, or it has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    amplitude = metadata.get("amplitude", {})
    return {clip: ClipFacts(frames, amplitude.get(clip)) for clip, frames in metadata.get("num_frames", {}).items()}
