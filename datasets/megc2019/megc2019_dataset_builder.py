"""The TFDS builder of the MEGC 2019 composite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from datasets.cache import CachedClip, CachedCorpus
from datasets.clip_builder import NO_APEX, ClipBuilder, ClipConfig
from datasets.megc2019 import reader
from datasets.megc2019.flow_features import FLOW_SIZE
from datasets.read import FLOW, checksum_clip
from datasets.records import Corpus
from mer_jax.errors import CorpusError, DecodeError
from mer_jax.vision.frames import FolderFrames


class Builder(ClipBuilder):
    """CASME II, SAMM and SMIC HS in three classes, or prepared motion features of their clips.

    Configs: one for each variant in `reader.VARIANTS` with the default options; `ClipConfig.make` makes others.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Clips, and motion features."}  # noqa: RUF012  (TFDS's own convention)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The composite is made of three licensed corpora: unpack CASME II, SAMM and SMIC into one manual_dir, as the "
        "README of each says. Motion features: a folder with <corpus>/<subject>/<clip>.png and a label csv."
    )
    HOMEPAGE = "https://facial-micro-expressiongc.github.io/MEGC2019/"
    VARIANTS = reader.VARIANTS
    BUILDER_CONFIGS = [  # noqa: RUF012
        ClipConfig.make(name, is_features=variant.is_features) for name, variant in reader.VARIANTS.items()
    ]

    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""
        return reader.read_corpus(manual_dir, self.builder_config.variant)

    def prepare(self, corpus: Corpus) -> CachedCorpus:
        """Runs stage one; motion features are as good as prepared."""
        if not self._is_features:
            return super().prepare(corpus)
        clips, skipped = [], {}
        for record in corpus.records:
            try:
                _read_picture(record.frames[0])
            except CorpusError as error:
                if not self._skip_unreadable:
                    raise
                skipped[record.clip_id] = str(error)
            else:
                clips.append(CachedClip(record, record.frames[0]))
        return CachedCorpus(tuple(clips), skipped, num_reused=len(clips))

    @property
    def _is_features(self) -> bool:
        return self.VARIANTS[self.builder_config.variant].is_features

    def _arrays(self) -> dict[str, tfds.features.FeatureConnector]:
        if not self._is_features:
            return super()._arrays()
        encoding = tfds.features.Encoding.BYTES
        return {FLOW: tfds.features.Tensor(shape=(FLOW_SIZE, FLOW_SIZE, 3), dtype=np.uint8, encoding=encoding)}

    def _generate_examples(self, cached: CachedCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self._is_features:
            yield from super()._generate_examples(cached)
            return
        self.info.metadata[FLOW] = {"channels": ["horizontal flow", "vertical flow", "strain"]}
        for clip in cached.clips:
            record, picture = clip.record, _read_picture(clip.path)
            self.info.metadata["checksums"][record.clip_id] = checksum_clip(
                record.clip_id, record.subject, record.corpus, record.class_name, picture
            )
            yield (
                record.clip_id,
                {
                    FLOW: picture,
                    "label": record.class_name,
                    "subject": record.subject,
                    "clip_id": record.clip_id,
                    "corpus": record.corpus,
                    "onset": 0,
                    "apex": NO_APEX,
                    "offset": 0,
                    "num_frames_native": 1,
                    "frame_numbers": np.zeros(1, np.int64),
                },
            )


def _read_picture(path: Path) -> UInt8[np.ndarray, "28 28 3"]:
    try:
        picture = FolderFrames([path])[0]
    except DecodeError as error:
        raise CorpusError(f"{error} To leave such pictures out, build with --skip-unreadable.") from error
    if picture.shape != (FLOW_SIZE, FLOW_SIZE, 3):
        height, width, _ = picture.shape
        raise CorpusError(f"{path} has {width}x{height} pixels; expected motion features of {FLOW_SIZE}x{FLOW_SIZE}.")
    return picture
