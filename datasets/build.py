"""Builds a corpus: from the folder that its owners gave out to clips for training.

    python -m datasets.build smic --manual_dir DIR

reads the folder and reports what was found, prepares every clip once (`datasets.cache`), writes them as a TFDS dataset,
reads all of it back and compares. A build from an unchanged folder is reused; a changed folder is noticed. The build
holds every clip with all its labels; `datasets.read.load_clips` applies a class scheme.
"""

import argparse
import contextlib
import io
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.cache import PROCESSES, CachedCorpus
from datasets.cached import unwritable_as_corpus_error
from datasets.folders import locked
from datasets.long_videos import LONG
from datasets.records import Corpus
from datasets.release import find_release, import_builder, known_corpora
from datasets.report import make_report
from mer_jax.cli.command import run_command
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.system.files import printable
from mer_jax.system.stages import stage
from mer_jax.vision.options import CROPS, MASKS, SAMPLINGS, VisionOptions

if TYPE_CHECKING:
    from datasets.builder import ClipBuilder

# TFDS takes a second to import, so it is imported where it is needed.


def default_data_dir() -> Path:
    """Returns where built corpora go: `$MER_DATA_DIR`, or `data` in the working directory."""
    return Path(os.environ.get("MER_DATA_DIR") or "data").expanduser()


def find_manual_dir(corpus: str, given: str | None) -> str:
    """Returns where a corpus was unpacked: the folder that the user gave, or `$MER_MANUAL_DIR`.

    Raises:
        ConfigError: Neither names one, or no corpus has that name.
    """
    if manual_dir := given or os.environ.get("MER_MANUAL_DIR"):
        return manual_dir
    find_release(corpus)  # or the message below would ask for the folder of a misspelt corpus
    raise ConfigError(
        f"no folder is given; expected --manual_dir or MER_MANUAL_DIR to name the one that {corpus} was unpacked into."
    )


def build(
    corpus: str,
    manual_dir: str | Path,
    *,
    variant: str | None = None,
    options: VisionOptions | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    skip_unreadable: bool = False,
    keep: bool = False,
    runner: str = PROCESSES,
    beam_options: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> Path:
    """Builds a corpus, or finds that it is built already.

    It can be interrupted at any time, also by `kill -9`: nothing half-written is taken for complete, and the next call
    continues with the clips that are prepared. Of two calls at once, the second waits and uses the result of the first.
    A surrogate is built as the dataset `surrogate_<corpus>` and never replaces a licensed build.

    Args:
        corpus: One of `known_corpora()`.
        manual_dir: The folder that the corpus was unpacked into. It is only read.
        variant: Part of the release, class scheme, or `<part>_<scheme>`; None takes the default. The part decides what
            is built, the scheme only what the report counts. "long" builds the long videos of a corpus that has some,
            see `datasets.long_tfds`; no further option then matters.
        options: How frames become clips.
        data_dir: Where built corpora go; None takes `default_data_dir()`.
        cache_dir: Where prepared clips are kept; None takes `<data_dir>/cache`.
        workers: Processes, 1 or more; None takes the processors at hand.
        skip_unreadable: Whether a clip with a damaged frame is left out and named, instead of being an error.
        keep: Whether a clip whose preparation fails (face lost, another person, not alignable, too small, turned) is
            used all the same; by default it is left out and named.
        runner: What prepares the clips: "processes" of this machine, or a runner of Apache Beam by its name.
        beam_options: Further flags for that runner.
        say: Called with each line of the report.

    Returns:
        The folder to give to `datasets.read.load_clips`, or to `datasets.long_tfds.load_long`.

    Raises:
        ConfigError: An unknown corpus or variant, or options out of their range.
        CorpusError: A folder without this corpus, a damaged frame, a full disk, no clip that can be used.
        FaceModelError: The face model is needed and missing.
    """
    options = options or VisionOptions()
    options.validate()
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more processes.")
    licensed = import_builder(corpus)
    if variant == LONG:
        from datasets.long_tfds import build_long

        return build_long(corpus, manual_dir, data_dir=data_dir or default_data_dir(), say=say)
    chosen = licensed.RELEASE.find_variant(variant)
    manual_dir = Path(manual_dir).expanduser()
    with stage("read"):
        source = licensed.RELEASE.read(manual_dir, chosen.part)
    for line in make_report(source, chosen.scheme).lines():
        say(line)

    from datasets.builder import ClipConfig

    data_dir = Path(data_dir or default_data_dir()).expanduser().absolute()
    cache_dir = Path(cache_dir).expanduser().absolute() if cache_dir else data_dir / "cache"
    builder_class = licensed.of_provenance(source.provenance)
    config = ClipConfig.make(source.part, options)
    config = builder_class.builder_configs.get(config.name, config)
    builder_dir = data_dir / builder_class.name / config.name / str(builder_class.VERSION)
    with unwritable_as_corpus_error(builder_dir), locked(builder_dir.parent, "building in", say):
        for stale in builder_dir.parent.glob("incomplete.*"):  # of builds that were killed
            shutil.rmtree(stale)
        with stage("read"):
            if _is_built(builder_dir, source, keep, say):
                return builder_dir
        with stage("find faces and prepare"):
            cached = builder_class(config=config, data_dir=data_dir, cache_dir=cache_dir).prepare(
                source,
                workers=workers,
                skip_unreadable=skip_unreadable,
                keep=keep,
                runner=runner,
                beam_options=beam_options,
            )
        say(f"prepared {len(cached.clips) - cached.num_reused} clips, {cached.num_reused} were ready")
        for clip_id, each in cached.skipped.items():
            say(f"  left out: {clip_id}: {each.detail}")
        if cached.doubtful:
            say(f"{len(cached.doubtful)} of the prepared clips are doubtful; the report of a run lists them")
        if not cached.clips:
            raise CorpusError(
                f"no clip of {source.root} can be used, so there is nothing to build; the first reason is: "
                f"{next(iter(cached.skipped.values())).detail}"
            )
        builder = builder_class(config=config, data_dir=data_dir, sources=(source, cached))
        with stage("build"):
            _write(builder, manual_dir, builder_dir, cached)
            _read_back(builder_dir, cached)
    say(f"built {len(cached.clips)} clips in {builder_dir}")
    return builder_dir


def _is_built(builder_dir: Path, source: Corpus, keep: bool, say: Callable[[str], None]) -> bool:
    """Returns whether the dataset is there, complete, and of this very source; removes it if not."""
    from datasets.read import compared_examples, read_metadata

    if not builder_dir.exists():
        return False
    try:
        metadata = read_metadata(builder_dir)
        num_clips = sum(1 for _ in compared_examples(builder_dir))
    except CorpusError as error:
        say(f"not usable any more, so it is built again: {error}")
    else:
        if metadata["source_fingerprint"] == source.source_fingerprint() and metadata.get("kept", False) == keep:
            say(f"built before from the same files: {num_clips} clips in {builder_dir}")
            for clip_id, each in metadata["skipped"].items():
                say(f"  left out: {clip_id}: {each['detail']}")
            return True
        changed = "--keep" if metadata["source_fingerprint"] == source.source_fingerprint() else source.root
        say(f"{changed} has changed since {builder_dir} was built; it is built again")
    # Renamed first: whatever stops the deletion, half a dataset never keeps the name of a complete one.
    doomed = builder_dir.with_name(f"incomplete.{secrets.token_hex(4)}_{builder_dir.name}")
    builder_dir.rename(doomed)
    shutil.rmtree(doomed)
    return False


def _write(builder: "ClipBuilder", manual_dir: Path, builder_dir: Path, cached: CachedCorpus) -> None:
    import tensorflow_datasets as tfds

    # This takes less than a second, and stage one has shown its progress. TFDS announces a download on stdout, though
    # there is none.
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
            )
    except RuntimeError:  # of array_record when it cannot write, and of anything else
        _probe_space(builder_dir.parent, sum(clip.path.stat().st_size for clip in cached.clips))
        raise


def _probe_space(folder: Path, num_bytes: int) -> None:
    """Writes and removes a file of that size; raises OSError if there is no room for it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(num_bytes // 2**20 + 1):
            file.write(bytes(2**20))
        file.flush()


def _read_back(builder_dir: Path, cached: CachedCorpus) -> None:
    from datasets.read import compared_examples

    written = {record.clip_id for record, _ in compared_examples(builder_dir)}
    prepared = {clip.record.clip_id for clip in cached.clips}
    if written != prepared:
        raise CorpusError(
            f"{builder_dir} does not hold what was written: clips {sorted(written ^ prepared)[:5]} differ. "
            "Check the disk, and build again."
        )


def add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name a corpus, its folder and its variant."""
    parser.add_argument("corpus", help=f"one of {', '.join(known_corpora())}")
    parser.add_argument("--manual_dir", help="folder that the corpus was unpacked into (default: $MER_MANUAL_DIR)")
    told = "part of the release, class scheme, or both, such as hs or cropped_5class (default: the first), or long"
    parser.add_argument("--variant", "--config", dest="variant", metavar="NAME", help=told)


def _split_options(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"got --beam_options {text}: {error}; expected flags as a shell reads them") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    defaults = VisionOptions()
    parser = argparse.ArgumentParser(
        prog="python -m datasets.build", description="Build a corpus into clips for training."
    )
    add_corpus_arguments(parser)
    parser.add_argument("--data_dir", help="where built corpora go (default: $MER_DATA_DIR, or data)")
    parser.add_argument("--cache_dir", help="where prepared clips are kept (default: <data_dir>/cache)")
    parser.add_argument("--workers", type=int, help="processes (default: the processors at hand)")
    parser.add_argument("--num_frames", type=int, default=defaults.num_frames, help="frames of a prepared clip")
    parser.add_argument("--crop", default=defaults.crop, choices=CROPS, help="how the face is cut out")
    parser.add_argument("--mask", default=defaults.mask, choices=MASKS, help="what of the face stays visible")
    parser.add_argument("--sampling", default=defaults.sampling, choices=SAMPLINGS, help="how frames are picked")
    parser.add_argument("--no-register", action="store_true", help="leave out the registration below a pixel")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out clips with a damaged frame")
    parser.add_argument("--keep", action="store_true", help="use clips whose preparation fails, too")
    parser.add_argument(
        "--runner", default=PROCESSES, help="processes (default), or a runner of Apache Beam, such as FnApiRunner"
    )
    parser.add_argument("--beam_options", default="", help="further flags for that runner, in one text")
    flags = parser.parse_args(arguments)

    def command() -> None:
        options = VisionOptions(
            num_frames=flags.num_frames, crop=flags.crop, mask=flags.mask, sampling=flags.sampling,
            register=not flags.no_register,
        )  # fmt: skip
        passed_on = ("variant", "data_dir", "cache_dir", "workers", "skip_unreadable", "keep", "runner")
        build(
            flags.corpus,
            find_manual_dir(flags.corpus, flags.manual_dir),
            options=options,
            beam_options=_split_options(flags.beam_options),
            say=lambda line: print(printable(line)),
            **{name: getattr(flags, name) for name in passed_on},
        )

    return run_command(command, on_interrupt="interrupted; clips that are ready stay ready: the same command continues")


if __name__ == "__main__":
    sys.exit(main())
