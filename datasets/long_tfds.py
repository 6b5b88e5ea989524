"""TFDS config `long`: paths and annotated intervals of the long videos of a corpus.

The decoded frames of CAS(ME)^2's long videos, 254,094 of 640x480, would take 234 GB. So a build holds paths and
intervals, and frames are read from the release itself, one at a time.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow_datasets as tfds

from datasets.cached import unwritable_as_corpus_error
from datasets.folders import locked
from datasets.long_videos import LONG, LongCorpus, LongExpression, LongVideo, find_long_release
from datasets.release import import_builder
from mer_jax.errors import CorpusError
from mer_jax.spotting.interval import Interval
from mer_jax.system.files import is_sealed, seal

if TYPE_CHECKING:
    from datasets.builder import ClipBuilder

SPLIT = "videos"
_REBUILD = "Delete that folder and build again."
_FRAMES = ("onset", "apex", "offset")
_TEXTS = ("name", "kind", "emotion", "coarse_emotion", "action_units")


@dataclasses.dataclass(eq=False)
class LongConfig(tfds.core.BuilderConfig):
    """The long videos of a corpus."""

    name: str = LONG
    description: str = "long videos: where they are, and their annotated intervals"


def long_features() -> tfds.features.FeaturesDict:
    """Returns the TFDS features of one long video; expression features are sequences of equal length."""
    features = tfds.features
    return features.FeaturesDict(
        {
            "video": features.Text(),  # path below the folder of videos
            "path": features.Text(),  # relative to the folder in the metadata
            "subject": features.Text(),
            "corpus": features.Text(),
            "provenance": features.Text(),
            "frame_rate": np.float64,
            "num_frames": np.int32,
            # Positions in the video, 0-based, the offset included.
            **{name: features.Tensor(shape=(None,), dtype=np.int32) for name in _FRAMES},
            **{name: features.Sequence(features.Text()) for name in _TEXTS},
        }
    )


def long_examples(builder: "ClipBuilder", corpus: LongCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the examples of a corpus; fills the builder's metadata."""
    builder.info.metadata.update(
        corpus=corpus.name,
        part=LONG,
        provenance=corpus.provenance,
        root=str(corpus.root.absolute()),
        source_fingerprint=fingerprint(corpus),
        findings={kind: list(sentences) for kind, sentences in corpus.findings.items()},
        checksums={video.name: _checksum(video) for video in corpus.videos},
    )
    builder.info.metadata["checksum"] = seal(builder.info.metadata)["checksum"]
    for video in corpus.videos:
        intervals = [each.interval for each in video.expressions]
        yield (
            video.name,
            {
                "video": video.name,
                "path": os.path.relpath(video.path, corpus.root),
                "subject": video.subject,
                "corpus": corpus.name,
                "provenance": corpus.provenance,
                "frame_rate": video.frame_rate,
                "num_frames": video.num_frames,
                "onset": np.array([each.onset_frame for each in intervals], np.int32),
                "apex": np.array([each.apex_frame for each in intervals], np.int32),
                "offset": np.array([each.offset_frame for each in intervals], np.int32),
                "kind": [each.kind for each in intervals],
                **{name: [getattr(each, name) for each in video.expressions] for name in _TEXTS if name != "kind"},
            },
        )


def build_long(
    corpus: str,
    manual_dir: str | Path,
    *,
    data_dir: str | Path,
    say: Callable[[str], None] = print,
) -> Path:
    """Builds the long videos of a corpus as a TFDS dataset, or finds that they are built from the same files.

    Args:
        corpus: One of `datasets.long_videos.long_corpora()`.
        manual_dir: Folder that the release was unpacked into. It is only read.
        data_dir: Where built corpora go.
        say: Called with each line of the report.

    Returns:
        The folder to give to `load_long`.

    Raises:
        ConfigError: The corpus has no long videos.
        CorpusError: They are not there or cannot be read, or the build cannot be written.
    """
    source = find_long_release(corpus).read_long(manual_dir)
    for line in source.lines():
        say(line)
    manual_dir, data_dir = Path(manual_dir).expanduser(), Path(data_dir).expanduser().absolute()
    builder_class = import_builder(corpus).of_provenance(source.provenance)
    builder_dir = data_dir / builder_class.name / LONG / str(builder_class.VERSION)
    with unwritable_as_corpus_error(builder_dir), locked(builder_dir.parent, "building in", say):
        for stale in builder_dir.parent.glob("incomplete.*"):  # of builds that were killed
            shutil.rmtree(stale)
        if builder_dir.exists():
            try:
                if _read_metadata(builder_dir)["source_fingerprint"] == fingerprint(source):
                    load_long(builder_dir)
                    say(f"built before from the same files: {len(source.videos)} videos in {builder_dir}")
                    return builder_dir
                say(f"{source.root} has changed since {builder_dir} was built; it is built again")
            except CorpusError as error:
                say(f"not usable any more, so it is built again: {error}")
            # Renamed first: whatever stops the deletion, half a dataset never keeps the name of a complete one.
            builder_dir.rename(doomed := builder_dir.with_name(f"incomplete.{secrets.token_hex(4)}_{builder_dir.name}"))
            shutil.rmtree(doomed)
        builder = builder_class(config=LONG, data_dir=data_dir, long=source)
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download, though there is none
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
            )
        load_long(builder_dir)
    say(f"built {len(source.videos)} long videos in {builder_dir}")
    return builder_dir


def load_long(builder_dir: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> list[LongVideo]:
    """Loads built long videos; compares each with its checksum.

    Args:
        builder_dir: Result of `build_long`: `<data_dir>/<corpus>/long/<version>`.
        root: Folder of videos, if it has been moved since; None takes the one of the build.

    Returns:
        The same as `datasets.long_videos.read_long`.

    Raises:
        CorpusError: No long videos are built there, or the build has been damaged since.
    """
    metadata = _read_metadata(builder_dir)
    folder = Path(root) if root is not None else Path(metadata["root"])
    try:
        source = tfds.builder_from_directory(builder_dir).as_data_source(SPLIT)
        videos = sorted((_decode(source[index], folder) for index in range(len(source))), key=lambda each: each.name)
    # TFDS and array_record say "damaged" in many ways, and never in which folder.
    except Exception as error:
        raise CorpusError(f"{builder_dir} cannot be read: {type(error).__name__}: {error}. {_REBUILD}") from error
    by_name = {video.name: video for video in videos}
    damaged = [name for name, told in metadata["checksums"].items() if name not in by_name]
    damaged += [name for name, video in by_name.items() if _checksum(video) != metadata["checksums"].get(name)]
    if damaged:
        raise CorpusError(f"{builder_dir}: video {damaged[0]!r} is not what was built. {_REBUILD}")
    return [by_name[name] for name in metadata["checksums"]]


def fingerprint(corpus: LongCorpus) -> str:
    """Identifies long videos by names, intervals, sizes and times, without opening them: 32 hexadecimal digits."""
    digest = hashlib.sha256(f"{corpus.name} {LONG} {corpus.provenance} {corpus.root.absolute()}".encode())
    for video in corpus.videos:
        status = video.path.stat()
        digest.update(f"{_checksum(video)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _decode(example: dict[str, Any], root: Path) -> LongVideo:
    texts = {name: [text.decode() for text in example[name]] for name in _TEXTS}
    frames = zip(*(example[name].tolist() for name in _FRAMES), strict=True)
    expressions = tuple(
        LongExpression(
            name=texts["name"][place],
            interval=Interval(onset_frame=onset, apex_frame=apex, offset_frame=offset, kind=texts["kind"][place]),
            emotion=texts["emotion"][place],
            coarse_emotion=texts["coarse_emotion"][place],
            action_units=texts["action_units"][place],
        )
        for place, (onset, apex, offset) in enumerate(frames)
    )
    return LongVideo(
        name=example["video"].decode(),
        subject=example["subject"].decode(),
        path=root / example["path"].decode(),
        frame_rate=float(example["frame_rate"]),
        num_frames=int(example["num_frames"]),
        expressions=expressions,
    )


def _checksum(video: LongVideo) -> str:
    told = dataclasses.asdict(video) | {"path": ""}
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _read_metadata(builder_dir: str | os.PathLike[str]) -> dict[str, Any]:
    path = Path(builder_dir) / "metadata.json"
    if not path.parent.is_dir():
        raise CorpusError(f"nothing is built in {builder_dir}. Build it first: `python -m datasets.build`.")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}. {_REBUILD}") from error
    if not is_sealed(metadata):
        raise CorpusError(f"{path} is damaged: its checksum differs. {_REBUILD}")
    if metadata.get("part") != LONG:
        raise CorpusError(f"{builder_dir} holds clips, not long videos; load it with `datasets.read.load_clips`.")
    return metadata
