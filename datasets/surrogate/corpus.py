"""The one function with which others get a surrogate corpus."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from datasets.surrogate import casme2, casme_squared, long_casme_squared, long_samm, samm, smic, smic_extended
from datasets.surrogate.plan import CorpusOptions, CorpusPlan, apportion
from datasets.surrogate.smic import CLASS_COUNTS
from datasets.surrogate.writer import write_corpus
from mer_jax.errors import ConfigError, near_names
from mer_jax.system.machine import count_processors


@dataclasses.dataclass(frozen=True)
class Release:
    """A corpus that can be rendered.

    Attributes:
        plan: says what it consists of.
        num_subjects, num_clips: as released; of long videos, fewer.
        duration_s: of each of its long videos; None where it has clips.
    """

    plan: Callable[[CorpusOptions], CorpusPlan]
    num_subjects: int
    num_clips: int
    duration_s: float | None = None


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
    "casme_squared_long": Release(
        long_casme_squared.plan_casme_squared_long,
        long_casme_squared.NUM_SUBJECTS,
        long_casme_squared.NUM_VIDEOS,
        long_casme_squared.DURATION_S,
    ),
    "samm_long": Release(long_samm.plan_samm_long, long_samm.NUM_SUBJECTS, long_samm.NUM_VIDEOS, long_samm.DURATION_S),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """A release of a composite.

    Attributes:
        release: what is rendered.
        num_clips, num_subjects: what the composite's classes leave of it.
    """

    release: Release
    num_clips: int
    num_subjects: int


COMPOSITES: dict[str, dict[str, Part]] = {
    "megc2019": {
        "casme2": Part(
            dataclasses.replace(CORPORA["casme2"], plan=functools.partial(casme2.plan_casme2, has_defects=True)),
            num_clips=145,
            num_subjects=24,
        ),
        "samm": Part(CORPORA["samm"], num_clips=133, num_subjects=28),
        "smic": Part(CORPORA["smic"], num_clips=164, num_subjects=16),
    },
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
    version: int = 1,
    duration_s: float | None = None,
    log: Callable[[str], None] = print,
) -> Path:
    """Renders a surrogate corpus, continues one that was cut short, or finds it finished.

    Args:
        out: folder in which the release's own root folder is made.
        corpus: whose layout, frame size, rate and counts; `megc2019` renders its three releases into one folder.
        difficulty: a key of `scenario.DIFFICULTIES`.
        num_subjects: 1 or more; as released by default. Of a composite, those that it takes of its releases.
        num_clips: at least one for each subject (SMIC: and each class); as released by default. Of a composite, about
            as many as it takes; its releases have further ones, whose classes it leaves out.
        seed: 0 or more; with the other options it determines every byte.
        workers: processes; one for each processor by default.
        exact: lossless frames, where the release itself has BMP; the default is JPEG.
        quirks: adds what is known to be wrong in the release: rows without folders, missing frames, odd names.
        scale: of the frames, 0.2 to 1: the same corpus in fewer pixels, for tests.
        version: 1, or 2: more ways to move for one class, skin that drags its neighbourhood, rougher texture, and
            light as in the four laboratories.
        duration_s: of each video of a corpus of long videos, whose clips are videos; by default 60 s (CAS(ME)^2) or
            15 s (SAMM).
        log: takes the few lines that say what happens.

    Returns:
        The root folder of the corpus, which holds `SURROGATE.json`; of a composite, `out` with those of its releases.

    Raises:
        ConfigError: if an option is unknown or out of range.
        CorpusError: if the folder holds something else, or cannot be written.
        FaceModelError: if the face model is not there.
    """
    if corpus not in CORPORA and corpus not in COMPOSITES:
        raise ConfigError(f"no surrogate of corpus {corpus!r}; {near_names(corpus, [*CORPORA, *COMPOSITES])}")
    workers = count_processors() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more")
    if corpus in COMPOSITES:
        releases = _share_out(COMPOSITES[corpus], num_subjects, num_clips)
    else:
        release = CORPORA[corpus]
        subjects = release.num_subjects if num_subjects is None else num_subjects
        releases = [(release, subjects, release.num_clips if num_clips is None else num_clips)]
    if duration_s is not None and any(release.duration_s is None for release, _, _ in releases):
        named = ", ".join(name for name, release in CORPORA.items() if release.duration_s is not None)
        raise ConfigError(f"duration is for long videos ({named}), and {corpus} consists of clips: leave it out")
    root = Path(out).expanduser()
    for release, subjects, clips in releases:
        seconds = release.duration_s if duration_s is None else duration_s
        options = CorpusOptions(difficulty, subjects, clips, seed, exact, quirks, scale, version, seconds)
        written = write_corpus(release.plan(options), root, workers=workers, log=log)
    return root if corpus in COMPOSITES else written


def _share_out(
    parts: Mapping[str, Part], num_subjects: int | None, num_clips: int | None
) -> list[tuple[Release, int, int]]:
    """Each release with its subjects and clips, so that about as many are left of all as are wanted."""
    if num_clips is not None and num_subjects is not None and num_clips < num_subjects:
        raise ConfigError(f"clips is {num_clips}, but each of {num_subjects} subjects needs at least one: give more")
    subjects, clips = ([getattr(part, name) for part in parts.values()] for name in ("num_subjects", "num_clips"))
    wanted_subjects = subjects if num_subjects is None else apportion(num_subjects, subjects)
    wanted_clips = clips if num_clips is None else apportion(num_clips, clips)
    shared = []
    for part, people, number in zip(parts.values(), wanted_subjects, wanted_clips, strict=True):
        people = max(1, round(people * part.release.num_subjects / part.num_subjects))
        number = round(number * part.release.num_clips / part.num_clips)
        shared.append((part.release, people, max(number, people, len(CLASS_COUNTS))))
    return shared
