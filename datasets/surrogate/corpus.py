"""The one function with which others get a surrogate corpus."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from datasets.surrogate import casme2, casme_squared, samm, smic, smic_extended
from datasets.surrogate.plan import CorpusOptions, CorpusPlan
from datasets.surrogate.writer import write_corpus
from mer_jax.errors import ConfigError, near_names
from mer_jax.system.machine import count_processors


@dataclasses.dataclass(frozen=True)
class Release:
    """A corpus that can be rendered.

    Attributes:
        plan: says what it consists of.
        num_subjects, num_clips: as released.
    """

    plan: Callable[[CorpusOptions], CorpusPlan]
    num_subjects: int
    num_clips: int


CORPORA: dict[str, Release] = {
    "smic": Release(smic.plan_smic, smic.HS.num_subjects, smic.HS.num_clips),
    **{
        f"smic_{part.variant}": Release(
            functools.partial(smic.plan_smic, release=part), part.num_subjects, part.num_clips
        )
        for part in (smic.HS_CROPPED, smic.VIS, smic.NIR)
    },
    "smic_hs_e": Release(smic_extended.plan_smic_extended, 16, 157),
    "smic_vis_e": Release(functools.partial(smic_extended.plan_smic_extended, camera="VIS"), 8, 71),
    "casme2": Release(casme2.plan_casme2, casme2.NUM_SUBJECTS, casme2.NUM_CLIPS),
    "samm": Release(samm.plan_samm, samm.NUM_SUBJECTS, samm.NUM_CLIPS),
    "samm_cropped": Release(functools.partial(samm.plan_samm, is_cropped=True), samm.NUM_SUBJECTS, samm.NUM_CLIPS),
    "casme_squared": Release(casme_squared.plan_casme_squared, casme_squared.NUM_SUBJECTS, casme_squared.NUM_CLIPS),
}


def render_corpus(
    out: str | Path,
    *,
    corpus: str = "smic",
    difficulty: str = "medium",
    num_subjects: int | None = None,
    num_clips: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    exact: bool = False,
    quirks: bool = False,
    scale: float = 1.0,
    log: Callable[[str], None] = print,
) -> Path:
    """Renders a surrogate corpus, continues one that was cut short, or finds it finished.

    Args:
        out: folder in which the release's own root folder is made.
        corpus: whose layout, frame size, rate and counts.
        difficulty: a key of `scenario.DIFFICULTIES`.
        num_subjects: 1 or more; as released by default.
        num_clips: at least one for each subject (SMIC: and each class); as released by default.
        seed: 0 or more; with the other options it determines every byte.
        workers: processes; one for each processor by default.
        exact: lossless frames, where the release itself has BMP; the default is JPEG.
        quirks: adds what is known to be wrong in the release: rows without folders, missing frames, odd names.
        scale: of the frames, 0.2 to 1: the same corpus in fewer pixels, for tests.
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
    workers = count_processors() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more")
    release = CORPORA[corpus]
    options = CorpusOptions(
        difficulty, release.num_subjects if num_subjects is None else num_subjects,
        release.num_clips if num_clips is None else num_clips, seed, exact, quirks, scale,
    )  # fmt: skip
    return write_corpus(release.plan(options), Path(out).expanduser(), workers=workers, log=log)
