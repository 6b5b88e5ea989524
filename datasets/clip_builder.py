"""What the TFDS builders of all corpora share: features, metadata, and stage two of a build.

A corpus's own `<name>_dataset_builder.py` says how its folder is read and which variants it has; the rest is the same.
TensorFlow is not needed: clips are written and read as array_record, which TFDS handles with NumPy alone.
"""

import abc
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets.cache import PROCESSES, CachedCorpus, prepare_corpus, read_cached
from datasets.read import FACES, SPLIT, checksum_clip
from datasets.records import Corpus
from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.options import VisionOptions

NO_APEX = -1

# TFDS warns of every config that is not in its list; here each choice of options is one.
logging.getLogger("absl").addFilter(lambda record: "Using custom data configuration" not in str(record.msg))


@dataclasses.dataclass(eq=False)
class ClipConfig(tfds.core.BuilderConfig):
    """One variant of a corpus, prepared in one way. Both are in its name, so results of different options live apart.

    Attributes:
        variant: which part or camera of the corpus, a name that its reader knows.
        options: how frames become clips.
    """

    variant: str = ""
    options: VisionOptions = dataclasses.field(default_factory=VisionOptions)

    @classmethod
    def make(cls, variant: str, options: VisionOptions | None = None, *, is_features: bool = False) -> "ClipConfig":
        """Makes a config and names it, such as `hs_t18_0123456789ab`.

        Args:
            variant: part or camera of the corpus.
            options: how frames become clips.
            is_features: whether it holds prepared features, which no options change; its name is the variant's.
        """
        if is_features:
            return cls(name=variant, description=f"{variant}, as prepared by others", variant=variant)
        options = options or VisionOptions()
        return cls(
            name=f"{variant}_t{options.num_frames}_{options.fingerprint()}",
            description=f"{variant}, prepared with {options}",
            variant=variant,
            options=options,
        )


class ClipBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of prepared clips, in one split named "clips".

    Args:
        cache_dir: where stage one keeps its files; None puts it beside the data.
        workers: processes of stage one; None takes the processors at hand.
        skip_unreadable: whether a clip with a damaged frame is left out and named, instead of being an error.
        runner: of stage one, as `datasets.cache.prepare_corpus` takes it.
        beam_options: likewise.
        sources: the corpus and its prepared clips, if the caller has them; else they are read from manual_dir.
        **kwargs: of `tfds.core.GeneratorBasedBuilder`: data_dir, config, version.
    """

    VARIANTS: ClassVar[Mapping[str, Any]]  # of the corpus's reader; each has its class_names
    HOMEPAGE: ClassVar[str]

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        workers: int | None = None,
        skip_unreadable: bool = False,
        runner: str = PROCESSES,
        beam_options: Sequence[str] = (),
        sources: tuple[Corpus, CachedCorpus] | None = None,
        **kwargs: Any,
    ):
        # tfrecord, the default format of TFDS, cannot be written without TensorFlow.
        super().__init__(file_format="array_record", **kwargs)
        self._cache_dir = cache_dir or Path(self._data_dir_root) / "cache"
        self._workers = workers
        self._skip_unreadable = skip_unreadable
        self._runner, self._beam_options = runner, beam_options
        self._sources = sources

    @abc.abstractmethod
    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""

    def prepare(self, corpus: Corpus) -> CachedCorpus:
        """Runs stage one."""
        return prepare_corpus(
            corpus.records,
            self.builder_config.options,
            self._cache_dir,
            workers=self._workers,
            skip_unreadable=self._skip_unreadable,
            runner=self._runner,
            beam_options=self._beam_options,
        )

    def _arrays(self) -> dict[str, tfds.features.FeatureConnector]:
        """Describes what is stored of each clip beside its names and numbers."""
        features = tfds.features
        # BYTES: the default encoding writes 8-bit pixels as varints, half as large again.
        faces = features.Tensor(
            shape=(self.builder_config.options.num_frames, FACE_SIZE, FACE_SIZE),
            dtype=np.uint8,
            encoding=features.Encoding.BYTES,
        )
        return {FACES: faces}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        return self.dataset_info_from_configs(
            features=features.FeaturesDict(
                {
                    **self._arrays(),
                    "label": features.ClassLabel(names=list(self.VARIANTS[self.builder_config.variant].class_names)),
                    "subject": features.Text(),
                    "clip_id": features.Text(),
                    "corpus": features.Text(),
                    # Positions in the clip as released, 0-based; an apex of -1 is unknown.
                    "onset": np.int32,
                    "apex": np.int32,
                    "offset": np.int32,
                    "num_frames_native": np.int32,
                    # The camera's counter of each of the prepared frames, as in the names of the files.
                    "frame_numbers": features.Tensor(shape=(None,), dtype=np.int64),
                }
            ),
            homepage=self.HOMEPAGE,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        if self._sources is None:
            corpus = self.read_corpus(Path(dl_manager.manual_dir))
            cached = self.prepare(corpus)
        else:
            corpus, cached = self._sources
        options = self.builder_config.options
        self.info.metadata.update(
            corpus=corpus.name,
            class_names=list(corpus.class_names),
            provenance=corpus.provenance,
            variant=self.builder_config.variant,
            vision_options=dataclasses.asdict(options),
            vision_fingerprint=options.fingerprint(),
            source_fingerprint=corpus.source_fingerprint(),
            report=corpus.report.to_json(),
            skipped={**corpus.unusable, **cached.skipped},
            surrogate={key: value for key, value in (corpus.marker or {}).items() if key != "clips"} or None,
            quality={},
            checksums={},
        )
        return {SPLIT: self._generate_examples(cached)}

    def _generate_examples(self, cached: CachedCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
        for clip in cached.clips:
            record, prepared = clip.record, read_cached(clip)
            example = {
                FACES: prepared.faces,
                "label": record.class_name,
                "subject": record.subject,
                "clip_id": record.clip_id,
                "corpus": record.corpus,
                "onset": record.onset,
                "apex": NO_APEX if record.apex is None else record.apex,
                "offset": record.offset,
                "num_frames_native": len(record.frames),
                "frame_numbers": np.array([record.frame_numbers[index] for index in prepared.frame_indices], np.int64),
            }
            # Known only now; TFDS writes the metadata after the clips. Reading compares against the checksums.
            self.info.metadata["quality"][record.clip_id] = dict(prepared.quality)
            self.info.metadata["checksums"][record.clip_id] = checksum_clip(
                record.clip_id, record.subject, record.corpus, record.class_name, prepared.faces
            )
            yield record.clip_id, example
