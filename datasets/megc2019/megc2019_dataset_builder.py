"""The TFDS builder of the MEGC 2019 composite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from datasets.builder import ClipBuilder
from datasets.cache import CachedCorpus
from datasets.cached import CachedClip
from datasets.folders import size_fault
from datasets.megc2019.release import Megc2019
from datasets.records import Corpus, Reason, Unusable
from mer_jax.errors import CorpusError, DecodeError
from mer_jax.sizes import MOTION_SIZE
from mer_jax.vision.frames import FolderFrames


class Builder(ClipBuilder):
    """CASME II, SAMM and SMIC HS, prepared as clips of whole faces; or prepared motion features of their clips."""

    RELEASE = Megc2019

    def prepare(self, corpus: Corpus, *, skip_unreadable: bool = False, **settings: Any) -> CachedCorpus:
        """Runs stage one; motion features are prepared already and only checked."""
        if self.RELEASE.stored(corpus.part) == "faces":
            return super().prepare(corpus, skip_unreadable=skip_unreadable, **settings)
        clips, skipped = [], {}
        for record in corpus.records:
            try:
                _read_picture(record.frames[0])
            except CorpusError as error:
                if not skip_unreadable:
                    raise
                skipped[record.clip_id] = Unusable(Reason.UNREADABLE, str(error), record)
            else:
                clips.append(CachedClip(record, record.frames[0]))
        return CachedCorpus(tuple(clips), skipped, num_reused=len(clips))

    def open_clip(self, clip: CachedClip) -> tuple[np.ndarray, np.ndarray, np.ndarray, Mapping[str, float]]:
        """Returns what the builder of faces does; motion features have no landmarks."""
        if self.RELEASE.stored(self.builder_config.part) == "faces":
            return super().open_clip(clip)
        return _read_picture(clip.path), np.full((68, 2), np.nan, np.float32), np.zeros(1, np.int64), {}


def _read_picture(path: Path) -> UInt8[np.ndarray, "28 28 3"]:
    try:
        if fault := size_fault(path, MOTION_SIZE):  # known before it is decoded: it may be a bomb
            raise CorpusError(f"{fault}.")
        picture = FolderFrames([path])[0]
    except (DecodeError, OSError) as error:
        raise CorpusError(f"{error} To leave such pictures out, build with --skip-unreadable.") from error
    if picture.shape != (MOTION_SIZE, MOTION_SIZE, 3):
        raise CorpusError(f"{path} is {picture.shape}; expected motion features of {MOTION_SIZE}x{MOTION_SIZE}.")
    return picture
