"""Loads the corpus of an experiment: the licensed one where its folder is given, a rendered surrogate otherwise."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.build import build, default_data_dir
from datasets.release import find_release
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.system.stages import stage
from mer_jax.vision.options import VisionOptions

if TYPE_CHECKING:
    from datasets.facts import CorpusFacts


def load_corpus(
    experiment: Experiment,
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    keep: bool = False,
    say: Callable[[str], None] = print,
) -> tuple[Clips, "CorpusFacts"]:
    """Loads the clips of an experiment as its model takes them; builds the corpus first where that is not done yet.

    Args:
        experiment: Its corpus, variant, vision options (the defaults if None), surrogate options and the view of its
            model are used.
        manual_dir: Folder of the licensed corpus; None takes `$MER_MANUAL_DIR`. Without either, a surrogate corpus is
            rendered into `data_dir`.
        data_dir: Folder of built corpora; None takes `$MER_DATA_DIR`, or `data` in the working directory.
        workers: Processes for rendering and preprocessing, 1 or more; None takes the processors at hand.
        keep: Whether clips whose preparation fails are used, see `datasets.build.build`.
        say: Called with each line of progress.

    Returns:
        The clips in the classes of the experiment's variant, and what else is known of the corpus.

    Raises:
        CorpusError: The folder is no such corpus, cannot be read, or has no clip of one of the classes.
        ConfigError: An unknown corpus or variant, or clips that the model's view cannot be computed from.
    """
    from datasets.motion import check_source, load_view  # TFDS takes a second to import

    options = experiment.vision or VisionOptions()
    view, release = find_view(experiment.model), find_release(experiment.corpus)
    variant = release.find_variant(experiment.variant or None)
    check_source(view, options, release.stored(variant.part or release.parts[0]), experiment.corpus)
    if getattr(experiment.model, "needs_action_units", False) and not release.has_action_units:
        raise ConfigError(
            f"{type(experiment.model).__name__} is trained with action units, and the owners of {release.title} coded "
            "none; use a corpus with them, such as casme2, samm or casme_squared"
        )
    data_dir = Path(data_dir).expanduser() if data_dir else default_data_dir()
    manual_dir = manual_dir or os.environ.get("MER_MANUAL_DIR")
    if manual_dir:
        say(f"corpus: {experiment.corpus} in {manual_dir}")
    else:
        say(
            f"corpus: SURROGATE {experiment.corpus}. No --manual_dir and no MER_MANUAL_DIR: rendered faces stand in "
            "for the licensed recordings, and no number below says anything about them."
        )
        with stage("render"):
            manual_dir = render_surrogate(experiment, data_dir, workers=workers, say=say)
    builder_dir = build(
        experiment.corpus,
        manual_dir,
        variant=experiment.variant or None,
        options=options,
        data_dir=data_dir,
        workers=workers,
        keep=keep,
        say=say,
    )
    from datasets.facts import read_facts

    scheme = variant.scheme.name
    with stage("load"):
        clips = load_view(builder_dir, view, options, data_dir / "motion", scheme=scheme, workers=workers, say=say)
    absent = [name for name, count in zip(clips.class_names, clips.class_counts(), strict=True) if not count]
    if absent:
        raise CorpusError(
            f"no clip of class {', '.join(absent)} is in {manual_dir}; expected clips of all of "
            f"{', '.join(clips.class_names)}. Complete the copy, or use a variant with other classes"
        )
    return clips, read_facts(builder_dir)


def render_surrogate(
    experiment: Experiment, data_dir: Path, *, workers: int | None = None, say: Callable[[str], None] = print
) -> Path:
    """Renders the surrogate corpus of an experiment into `<data_dir>/surrogate`, or finds it rendered.

    Returns:
        The folder to give as `manual_dir`.
    """
    from datasets.surrogate.corpus import render_corpus

    name = f"{experiment.corpus}-{experiment.surrogate_difficulty}-seed{experiment.surrogate_seed}"
    clips, subjects = experiment.surrogate_clips, experiment.surrogate_subjects
    if experiment.surrogate_version > 1:
        name += f"-v{experiment.surrogate_version}"
    folder = data_dir / "surrogate" / (f"{name}-{clips or 'all'}x{subjects or 'all'}" if clips or subjects else name)
    render_corpus(
        folder,
        corpus=experiment.corpus,
        difficulty=experiment.surrogate_difficulty,
        num_subjects=subjects or None,
        num_clips=clips or None,
        seed=experiment.surrogate_seed,
        version=experiment.surrogate_version,
        workers=workers,
        log=say,
    )
    return folder
