"""The one function with which others get a surrogate corpus."""

import os
from collections.abc import Callable
from pathlib import Path

from datasets.surrogate.plan import CorpusOptions, CorpusPlan
from datasets.surrogate.smic import plan_smic
from datasets.surrogate.writer import write_corpus
from mer_jax.errors import ConfigError, near_names

CORPORA: dict[str, Callable[[CorpusOptions], CorpusPlan]] = {"smic": plan_smic}


def render_corpus(
    out: str | Path,
    *,
    corpus: str = "smic",
    difficulty: str = "medium",
    num_subjects: int = 16,
    num_clips: int = 164,
    seed: int = 0,
    workers: int | None = None,
    exact: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Renders a surrogate corpus, continues one that was cut short, or finds it finished.

    Args:
        out: folder in which the release's own root folder is made.
        corpus: whose layout, frame size, rate and counts.
        difficulty: a key of `scenario.DIFFICULTIES`.
        num_subjects: 1 or more.
        num_clips: at least one for each subject and each class.
        seed: 0 or more; with the other options it determines every byte.
        workers: processes; one for each processor by default.
        exact: lossless frames in the release's own format, where the default is JPEG.
        log: takes the few lines that say what happens.

    Returns:
        The root folder of the corpus, which holds `SURROGATE.json`.

    Raises:
        ConfigError: if an option is unknown or out of range.
        CorpusError: if the folder holds something else, or cannot be written.
        FaceModelError: if the face model is not there.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"no surrogate of corpus {corpus!r}; {near_names(corpus, CORPORA)}")
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more")
    options = CorpusOptions(difficulty, num_subjects, num_clips, seed, exact)
    return write_corpus(CORPORA[corpus](options), Path(out), workers=workers, log=log)
