"""The TFDS builder of the MEGC 2019 composite."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from datasets.builder import ClipBuilder
from datasets.cache import CachedCorpus
from datasets.cached import CachedClip
from datasets.megc2019.prepared import read_picture
from datasets.megc2019.release import Megc2019
from datasets.records import Corpus, Reason, Unusable
from mer_jax.errors import CorpusError


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
                read_picture(record.frames[0])
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
        return read_picture(clip.path), np.full((68, 2), np.nan, np.float32), np.zeros(1, np.int64), {}
