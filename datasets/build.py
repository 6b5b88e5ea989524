"""Builds a corpus: from the folder that its owners gave out to clips that train.

    python -m datasets.build smic --manual_dir DIR

reads the folder and says what was found, prepares every clip once (`datasets.cache`), writes them as a TFDS dataset,
reads all of it back and compares. What is built from an unchanged folder is used again; a changed folder is noticed.
"""

import argparse
import contextlib
import fcntl
import importlib
import io
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from datasets.cache import PROCESSES, CachedCorpus
from datasets.records import Corpus
from mer_jax.cli.command import run_command
from mer_jax.errors import ConfigError, CorpusError, near_names
from mer_jax.vision.options import CROPS, MASKS, SAMPLINGS, VisionOptions

if TYPE_CHECKING:
    from datasets.clip_builder import ClipBuilder

# TFDS takes a second to import: not before the folder has been read.


def default_data_dir() -> Path:
    """Says where built corpora go: `$MER_DATA_DIR`, or `data` in the working directory."""
    return Path(os.environ.get("MER_DATA_DIR") or "data")


def find_manual_dir(corpus: str, given: str | None) -> str:
    """Says where a corpus was unpacked: the folder that the user gave, or `$MER_MANUAL_DIR`.

    Raises:
        ConfigError: neither names one.
    """
    if manual_dir := given or os.environ.get("MER_MANUAL_DIR"):
        return manual_dir
    raise ConfigError(
        f"no folder is given; expected --manual_dir or MER_MANUAL_DIR to name the one that {corpus} was unpacked into."
    )


def known_corpora() -> list[str]:
    """Names the corpora that can be built: every folder of this package that has a reader."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/reader.py"))


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
    runner: str = PROCESSES,
    beam_options: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> Path:
    """Builds a corpus, or finds that it is built already.

    It can be interrupted at any time, also by `kill -9`: nothing half-written is taken for whole, and the next call
    takes up the clips that are ready. Of two calls at once, the second waits and uses what the first has built.

    Args:
        corpus: one of `known_corpora()`.
        manual_dir: the folder that the corpus was unpacked into. It is only read.
        variant: part or camera of the corpus; None takes the first one, which is HS for SMIC.
        options: how frames become clips.
        data_dir: where built corpora go; None takes `default_data_dir()`.
        cache_dir: where prepared clips are kept; None takes `<data_dir>/cache`.
        workers: processes, 1 or more; None takes the processors at hand.
        skip_unreadable: whether a clip with a damaged frame is left out and named, instead of being an error.
        runner: what prepares the clips: "processes" of this machine, or a runner of Apache Beam by its name.
        beam_options: further flags for that runner.
        say: takes each line of the report.

    Returns:
        the folder to give to `datasets.read.load_clips`.

    Raises:
        ConfigError: an unknown corpus or variant, or options out of their range.
        CorpusError: a folder without this corpus, a damaged frame, a full disk, no clip that could be used.
        FaceModelError: the face model is missing, and is needed.
    """
    options = options or VisionOptions()
    options.validate()
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more processes.")
    reader = import_reader(corpus)
    variant = find_variant(corpus, reader, variant)
    source = reader.read_corpus(Path(manual_dir).expanduser(), variant)
    for line in source.report.lines():
        say(line)

    from datasets.clip_builder import ClipConfig

    data_dir = Path(data_dir or default_data_dir()).expanduser().absolute()
    cache_dir = Path(cache_dir).expanduser().absolute() if cache_dir else data_dir / "cache"
    builder_class = importlib.import_module(f"datasets.{corpus}.{corpus}_dataset_builder").Builder
    config = ClipConfig.make(variant, options, is_features=getattr(reader.VARIANTS[variant], "is_features", False))
    config = builder_class.builder_configs.get(config.name, config)
    builder_dir = data_dir / corpus / config.name / str(builder_class.VERSION)
    with _alone_in(builder_dir.parent, say):
        if _is_built(builder_dir, source, say):
            return builder_dir
        settings = {"cache_dir": cache_dir, "workers": workers, "skip_unreadable": skip_unreadable}
        settings |= {"runner": runner, "beam_options": beam_options}
        cached = builder_class(config=config, data_dir=data_dir, **settings).prepare(source)
        for line in _lines_about(cached):
            say(line)
        if not cached.clips:
            raise CorpusError(
                f"no clip of {source.report.root} can be used, so there is nothing to build; the first reason is: "
                f"{next(iter(cached.skipped.values()))}"
            )
        builder = builder_class(config=config, data_dir=data_dir, sources=(source, cached))
        _write(builder, Path(manual_dir), builder_dir)
        _read_back(builder_dir, cached)
    say(f"built {len(cached.clips)} clips in {builder_dir}")
    return builder_dir


def import_reader(corpus: str) -> ModuleType:
    """Imports the reader of a corpus.

    Raises:
        ConfigError: no corpus of that name.
    """
    if corpus not in known_corpora():
        raise ConfigError(f"no corpus is called {corpus!r}; {near_names(corpus, known_corpora())}")
    return importlib.import_module(f"datasets.{corpus}.reader")


def find_variant(corpus: str, reader: ModuleType, name: str | None) -> str:
    """Returns the name of a corpus's variant; None gives the first.

    Raises:
        ConfigError: no variant of that name.
    """
    name = name or next(iter(reader.VARIANTS))
    if name not in reader.VARIANTS:
        raise ConfigError(f"{corpus} has no config {name!r}; {near_names(name, reader.VARIANTS)}")
    return name


def _lines_about(cached: CachedCorpus) -> list[str]:
    new = len(cached.clips) - cached.num_reused
    return [
        f"prepared {new} clips, {cached.num_reused} were ready",
        *(f"  left out: {clip_id}: {reason}" for clip_id, reason in cached.skipped.items()),
    ]


def _is_built(builder_dir: Path, source: Corpus, say: Callable[[str], None]) -> bool:
    """Says whether the dataset is there, whole, and of this very source; makes room for it if not."""
    from datasets.read import compared_examples, read_metadata

    if not builder_dir.exists():
        return False
    try:
        metadata = read_metadata(builder_dir)
        num_clips = sum(1 for _ in compared_examples(builder_dir))
    except CorpusError as error:
        say(f"not usable any more, so built anew: {error}")
    else:
        if metadata["source_fingerprint"] == source.source_fingerprint():
            say(f"built before from the same files: {num_clips} clips in {builder_dir}")
            for clip_id, reason in metadata["skipped"].items():
                say(f"  left out: {clip_id}: {reason}")
            return True
        say(f"{source.report.root} has changed since {builder_dir} was built; it is built anew")
    # Renamed first: whatever stops the deletion, no half of a dataset keeps the name of a whole one.
    doomed = builder_dir.with_name(f"incomplete.{secrets.token_hex(4)}_{builder_dir.name}")
    builder_dir.rename(doomed)
    shutil.rmtree(doomed)
    return False


def _write(builder: "ClipBuilder", manual_dir: Path, builder_dir: Path) -> None:
    import tensorflow_datasets as tfds

    # This takes less than a second, and stage one has shown its progress. TFDS announces a download on stdout, though
    # there is none.
    tfds.disable_progress_bar()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
            )
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "write() failed" not in str(error):  # how array_record says it
            raise
        raise CorpusError(
            f"cannot write {builder_dir}: {error}. Make room there, or name another folder with --data_dir; clips "
            "that are prepared stay prepared."
        ) from error


def _read_back(builder_dir: Path, cached: CachedCorpus) -> None:
    from datasets.read import compared_examples

    written = {clip_id for clip_id, _ in compared_examples(builder_dir)}
    prepared = {clip.record.clip_id for clip in cached.clips}
    if written != prepared:
        raise CorpusError(
            f"{builder_dir} does not hold what was written: clips {sorted(written ^ prepared)[:5]} differ. "
            "Check the disk, and build again."
        )


@contextlib.contextmanager
def _alone_in(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lets one process at a time build in a folder, and clears away what killed ones have left there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise CorpusError(f"cannot write {folder}: {error.strerror}. Name another folder with --data_dir.") from error
    with lock:  # closing it, or the end of the process in whatever way, gives the lock back
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is building in {folder}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in folder.glob("incomplete.*"):
            shutil.rmtree(stale)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    defaults = VisionOptions()
    parser = argparse.ArgumentParser(
        prog="python -m datasets.build", description="Build a corpus into clips that train."
    )
    parser.add_argument("corpus", help=f"one of {', '.join(known_corpora())}")
    parser.add_argument("--manual_dir", help="folder that the corpus was unpacked into (default: $MER_MANUAL_DIR)")
    parser.add_argument("--data_dir", help="where built corpora go (default: $MER_DATA_DIR, or data)")
    parser.add_argument("--cache_dir", help="where prepared clips are kept (default: <data_dir>/cache)")
    parser.add_argument("--config", help="variant of the corpus, such as hs (default: the first)")
    parser.add_argument("--workers", type=int, help="processes (default: the processors at hand)")
    parser.add_argument("--num_frames", type=int, default=defaults.num_frames, help="frames of a prepared clip")
    parser.add_argument("--crop", default=defaults.crop, choices=CROPS, help="how the face is cut out")
    parser.add_argument("--mask", default=defaults.mask, choices=MASKS, help="what of the face stays visible")
    parser.add_argument("--sampling", default=defaults.sampling, choices=SAMPLINGS, help="how frames are picked")
    parser.add_argument("--no-register", action="store_true", help="leave out the registration below a pixel")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out clips with a damaged frame")
    parser.add_argument(
        "--runner", default=PROCESSES, help="processes (default), or a runner of Apache Beam, such as FnApiRunner"
    )
    parser.add_argument("--beam_options", default="", help="further flags for that runner, in one text")
    flags = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in any encoding

    def command() -> None:
        manual_dir = find_manual_dir(flags.corpus, flags.manual_dir)
        build(
            flags.corpus,
            manual_dir,
            variant=flags.config,
            options=VisionOptions(
                num_frames=flags.num_frames,
                crop=flags.crop,
                mask=flags.mask,
                sampling=flags.sampling,
                register=not flags.no_register,
            ),
            data_dir=flags.data_dir,
            cache_dir=flags.cache_dir,
            workers=flags.workers,
            skip_unreadable=flags.skip_unreadable,
            runner=flags.runner,
            beam_options=shlex.split(flags.beam_options),
        )

    return run_command(command, on_interrupt="interrupted; clips that are ready stay ready: the same command continues")


if __name__ == "__main__":
    sys.exit(main())
