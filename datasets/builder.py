"""The TFDS builder that all corpora share: stage two of a build.

A corpus's own `<name>_dataset_builder.py` only names its `Release`. TensorFlow is not needed: clips are written and
read as array_record, which TFDS handles with NumPy alone.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets.cache import CachedCorpus, prepare_corpus
from datasets.cached import CachedClip, read_cached
from datasets.long_tfds import SPLIT as LONG_SPLIT
from datasets.long_tfds import LongConfig, long_examples, long_features
from datasets.long_videos import LongCorpus, find_long_release, long_corpora
from datasets.read import SPLIT, checksum_example
from datasets.records import Corpus
from datasets.release import Release
from mer_jax.data.stored import STORED
from mer_jax.errors import CorpusError
from mer_jax.system.files import seal
from mer_jax.vision.crop import face_points
from mer_jax.vision.options import VisionOptions

NO_APEX = -1
_SURROGATE = "surrogate"

# TFDS warns of every config that is not in its list; here each choice of options is one.
logging.getLogger("absl").addFilter(lambda record: "Using custom data configuration" not in str(record.msg))


@dataclasses.dataclass(eq=False)
class ClipConfig(tfds.core.BuilderConfig):
    """One part of a corpus, prepared in one way.

    Attributes:
        part: Of the release, one of `Release.parts`.
        options: How frames become clips.
    """

    part: str = ""
    options: VisionOptions = dataclasses.field(default_factory=VisionOptions)

    @classmethod
    def make(cls, part: str, options: VisionOptions | None = None) -> "ClipConfig":
        """Returns a config; its name is the part, such as `hs`, or `hs_t11_0123456789ab` for other options."""
        options = options or VisionOptions()
        is_default = options == VisionOptions()
        return cls(
            name=part if is_default else f"{part}_t{options.num_frames}_{options.fingerprint()}",
            description=f"{part}, prepared with {options}",
            part=part,
            options=options,
        )


class ClipBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of prepared clips in one split named "clips".

    A surrogate is built by the class that `of_provenance` returns, under a dataset name of its own.

    Args:
        cache_dir: Where stage one keeps its files; None takes `cache` beside the data.
        sources: The corpus and its prepared clips, if the caller has them; otherwise they are read from manual_dir.
        long: The long videos of config `long`, likewise.
        **kwargs: Of `tfds.core.GeneratorBasedBuilder`: data_dir, config, version.
    """

    RELEASE: ClassVar[type[Release]]
    PROVENANCE: ClassVar[str] = ""  # of a class that builds surrogates

    def __init_subclass__(cls, **kwargs: Any):
        if release := getattr(cls, "RELEASE", None):
            cls.VERSION = tfds.core.Version(release.version)
            cls.RELEASE_NOTES = dict(release.release_notes)
            cls.MANUAL_DOWNLOAD_INSTRUCTIONS = (
                f"{release.title} is given out under a licence by its owners; datasets/{release.name}/README.md says "
                f"where to ask. {release.instructions}"
            )
            cls.BUILDER_CONFIGS = [ClipConfig.make(part) for part in release.parts]
            if release.name in long_corpora():
                cls.BUILDER_CONFIGS.append(LongConfig())
        super().__init_subclass__(**kwargs)

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        sources: tuple[Corpus, CachedCorpus] | None = None,
        long: LongCorpus | None = None,
        file_format: str = "array_record",  # tfrecord, the default of TFDS, cannot be written without TensorFlow
        **kwargs: Any,
    ):
        super().__init__(file_format=file_format, **kwargs)
        self._cache_dir = cache_dir or Path(self._data_dir_root) / "cache"
        self._sources, self._long = sources, long

    @classmethod
    def of_provenance(cls, provenance: str) -> type["ClipBuilder"]:
        """Returns the class that builds data of a provenance: surrogates are the dataset `surrogate_<corpus>`."""
        if provenance != _SURROGATE:
            return cls
        attributes = {
            "name": f"{_SURROGATE}_{cls.name}",
            "PROVENANCE": _SURROGATE,
            "pkg_dir_path": cls._get_pkg_dir_path(),
            "__module__": __name__,
        }
        return type("SurrogateBuilder", (cls,), attributes, skip_registration=True)

    def prepare(self, corpus: Corpus, **settings: Any) -> CachedCorpus:
        """Runs stage one.

        Args:
            corpus: What to prepare.
            **settings: Of `datasets.cache.prepare_corpus`.
        """
        return prepare_corpus(corpus.records, self.builder_config.options, self._cache_dir, **settings)

    def open_clip(self, clip: CachedClip) -> tuple[np.ndarray, np.ndarray, np.ndarray, Mapping[str, float]]:
        """Returns pictures, landmarks in their pixels, the positions of their frames, and quality figures of a clip."""
        prepared = read_cached(clip)
        points = face_points(prepared.landmarks, self.builder_config.options.crop)
        return prepared.faces, points, prepared.frame_indices, prepared.quality

    def _info(self) -> tfds.core.DatasetInfo:
        is_long, metadata = isinstance(self.builder_config, LongConfig), self.get_metadata()
        title, description = self.RELEASE.title, metadata.description or ""
        if self.PROVENANCE == _SURROGATE:
            description = (
                f"SURROGATE: rendered faces in the layout of {title}, not {title}. No result on them says anything "
                f"about people. What follows describes {title}.\n\n{description}"
            )
        return tfds.core.DatasetInfo(
            builder=self,
            description=description,
            citation=metadata.citation,
            homepage=self.RELEASE.homepage,
            metadata=tfds.core.MetadataDict(),
            features=long_features() if is_long else self._clip_features(),
        )

    def _clip_features(self) -> tfds.features.FeaturesDict:
        features, stored = tfds.features, self.RELEASE.stored(self.builder_config.part)
        num_frames = self.builder_config.options.num_frames
        shape = tuple(num_frames if isinstance(n, str) else n for n in STORED[stored])
        return features.FeaturesDict(
            {
                # BYTES: the default encoding writes 8-bit pixels as varints, half as large again.
                stored: features.Tensor(shape=shape, dtype=np.uint8, encoding=features.Encoding.BYTES),
                # The 68 iBUG points, x then y, in pixels of the face; NaN for pictures without one.
                "landmarks": features.Tensor(shape=(68, 2), dtype=np.float32),
                **{field: features.Text() for field in self.RELEASE.labels},
                "subject": features.Text(),
                "clip_id": features.Text(),
                "corpus": features.Text(),
                "provenance": features.Text(),
                # Positions in the clip as released, 0-based; an apex of -1 is unknown.
                "onset": np.int32,
                "apex": np.int32,
                "offset": np.int32,
                "num_frames_native": np.int32,
                # The camera's counter of each of the prepared frames, as in the names of the files.
                "frame_numbers": features.Tensor(shape=(None,), dtype=np.int64),
            }
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        if isinstance(self.builder_config, LongConfig):
            videos = self._long or find_long_release(self.RELEASE.name).read_long(Path(dl_manager.manual_dir))
            self._check_provenance(videos)
            return {LONG_SPLIT: long_examples(self, videos)}
        if self._sources is None:
            corpus = self.RELEASE.read(Path(dl_manager.manual_dir), self.builder_config.part)
            cached = self.prepare(corpus)
        else:
            corpus, cached = self._sources
        self._check_provenance(corpus)
        options = self.builder_config.options
        self.info.metadata.update(
            corpus=corpus.name,
            part=corpus.part,
            stored=self.RELEASE.stored(corpus.part),
            labels=list(self.RELEASE.labels),
            provenance=corpus.provenance,
            root=str(corpus.root),
            vision_options=dataclasses.asdict(options),
            vision_fingerprint=options.fingerprint(),
            source_fingerprint=corpus.source_fingerprint(),
            findings={kind: list(sentences) for kind, sentences in corpus.findings.items()},
            skipped={clip_id: each.to_json() for clip_id, each in {**corpus.unusable, **cached.skipped}.items()},
            doubtful=dict(cached.doubtful),
            kept=cached.kept,
            surrogate=_identity(corpus.marker),
            amplitude=_amplitudes(corpus.marker),
            num_frames={clip.record.clip_id: len(clip.record.frames) for clip in cached.clips},
            quality={},
            checksums={},
        )
        return {SPLIT: self._generate_examples(corpus, cached)}

    def _check_provenance(self, corpus: Corpus | LongCorpus) -> None:
        if (corpus.provenance == _SURROGATE) != (self.PROVENANCE == _SURROGATE):
            raise CorpusError(
                f"{corpus.root} holds {corpus.provenance} data, and {self.name} is not its dataset; build it with "
                f"`python -m datasets.build {corpus.name}`, which keeps surrogates apart."
            )

    def _generate_examples(self, corpus: Corpus, cached: CachedCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
        stored = self.RELEASE.stored(corpus.part)
        for clip in cached.clips:
            record, (pictures, landmarks, frame_indices, quality) = clip.record, self.open_clip(clip)
            example = {
                stored: pictures,
                "landmarks": landmarks,
                **{field: record.labels.get(field, "") for field in self.RELEASE.labels},
                "subject": record.subject,
                "clip_id": record.clip_id,
                "corpus": record.corpus,
                "provenance": corpus.provenance,
                "onset": record.onset,
                "apex": NO_APEX if record.apex is None else record.apex,
                "offset": record.offset,
                "num_frames_native": len(record.frames),
                "frame_numbers": np.array([record.frame_numbers[index] for index in frame_indices], np.int64),
            }
            # Known only now; TFDS writes the metadata after the clips. Reading compares with the checksums.
            self.info.metadata["quality"][record.clip_id] = dict(quality)
            self.info.metadata["checksums"][record.clip_id] = checksum_example(example)
            yield record.clip_id, example
        self.info.metadata["checksum"] = seal(self.info.metadata)["checksum"]


def _identity(marker: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Returns what distinguishes a surrogate from others, without its clips."""
    if marker is None:
        return None
    parts = {name: _identity(part) for name, part in marker.get("parts", {}).items()}
    return {key: value for key, value in marker.items() if key not in ("clips", "parts")} | (
        {"parts": parts} if parts else {}
    )


def _amplitudes(marker: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns the largest movement of each rendered clip, in percent of the distance between the eyes."""
    marker = marker or {}
    moved = {
        f"{name}_{key}": most
        for name, part in marker.get("parts", {}).items()
        for key, most in _amplitudes(part).items()
    }
    for clip_id, clip in marker.get("clips", {}).items():
        if peaks := clip.get("peak_percent_iod"):
            moved[clip_id] = max(peaks.values())
    return moved
