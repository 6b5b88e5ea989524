"""The long videos of CAS(ME)^2 as their owners release them, filled with rendered faces.

    CAS(ME)^2code_final.xlsx                     three sheets without a header, as beside the clips
    rawvideo/s15/15_0101disgustingteeth.avi      one film, one person; frames are numbered from 1 in the sheets
    SURROGATE_disturbances.csv                   ours: blinks, gaze shifts, speech, movements of the head

Source: the corpus description of Qu et al., CAS(ME)^2, IEEE TAC 9(4) (2018).
Differs: which codec the release's .avi files have is not known; here it is Motion JPEG. Its folder rawpic, the same
frames as pictures, is left out. A person sees the films in another order, and each a minute long.
"""

import collections
import dataclasses

import numpy as np

from datasets.surrogate.casme_squared import COARSE_OF, FEELING_COUNTS, GEOMETRY, SUBJECTS, VIDEOS, make_table
from datasets.surrogate.emotions import EMOTION_SETS
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.long_plan import (
    check_duration,
    choose_expressive,
    describe_truth,
    film_long,
    write_disturbances,
)
from datasets.surrogate.long_scenario import LongScenario
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, SubjectPlan, apportion
from datasets.surrogate.workbook import Row
from datasets.truth import DISTURBANCES_NAME
from mer_jax.errors import ConfigError
from mer_jax.spotting.interval import MACRO

NUM_SUBJECTS, NUM_VIDEOS, DURATION_S = 8, 16, 60.0
_TABLE = "CAS(ME)^2code_final.xlsx"
_FIRST_PERSON, _FIRST_VIDEO = 5000, 200  # above those of the clips, so that nobody occurs in both


@dataclasses.dataclass(frozen=True)
class _Video:
    number: int  # of the subject in the tables
    subject: str
    film: str
    scenario: LongScenario

    @property
    def name(self) -> str:
        return f"{self.subject}/{self.subject.removeprefix('s')}_{VIDEOS[self.film]}.avi"


def plan_casme_squared_long(options: CorpusOptions) -> CorpusPlan:
    """Plans the corpus.

    Args:
        options: its clips are videos, at most nine a person. Subjects beyond the 22 of the release are named s41 on.
    """
    options.validate(1, "CAS(ME)^2", has_exact=False)
    check_duration(options)
    if options.num_clips > len(VIDEOS) * options.num_subjects:
        raise ConfigError(
            f"clips is {options.num_clips}, but {options.num_subjects} subjects see at most {len(VIDEOS)} films each: "
            "give more subjects or fewer clips"
        )
    rng = np.random.default_rng([options.seed, 26])
    names = [name for name, _, _ in SUBJECTS][: options.num_subjects]
    names += [f"s{41 + extra}" for extra in range(options.num_subjects - len(names))]
    people = {
        name: sample_subject(options.seed, _FIRST_PERSON + index, GEOMETRY.tones) for index, name in enumerate(names)
    }
    expressive = iter(choose_expressive(rng, options.num_clips))
    videos: list[_Video] = []
    for number, (name, share) in enumerate(zip(names, apportion(options.num_clips, [1] * len(names)), strict=True), 1):
        films = [list(VIDEOS)[each] for each in np.sort(rng.permutation(len(VIDEOS))[:share])]
        for film in films:
            scenario = film_long(
                options,
                _FIRST_VIDEO + len(videos),
                people[name],
                GEOMETRY,
                emotions=FEELING_COUNTS,
                unit_sets=EMOTION_SETS,
                is_expressive=next(expressive),
            )
            videos.append(_Video(number, name, film, scenario))

    rows, quirks = _list_rows(videos), []
    if options.quirks:
        rows, quirks = _corrupt(rows)
    by_person = collections.defaultdict(list)
    for video in videos:
        by_person[video.subject].append(video)
    subjects = tuple(
        SubjectPlan(name, (f"rawvideo/{name}",), people[name], tuple(map(_plan_video, own)))
        for name, own in by_person.items()
    )
    documents = {
        _TABLE: make_table(rows, [name for name in names for _ in by_person[name]]),
        DISTURBANCES_NAME: write_disturbances((video.name, video.subject, video.scenario) for video in videos),
    }
    geometry = GEOMETRY.scaled(options.scale)
    return CorpusPlan(
        "casme_squared", "CAS(ME)^2 (long videos)", "CAS(ME)^2", geometry, options, subjects, documents, tuple(quirks),
        "long",
    )  # fmt: skip


def _plan_video(video: _Video) -> ClipPlan:
    path = f"rawvideo/{video.name}"
    return ClipPlan(
        video.name,
        video.scenario.spec,
        (),
        video=path,
        truth=describe_truth(video.scenario, path),
    )


def _list_rows(videos: list[_Video]) -> list[Row]:
    """One row an expression, frames from 1."""
    rows = []
    for video in videos:
        for take, each in enumerate(video.scenario.expressions, start=1):
            frames = (each.moment.onset + 1, each.moment.apex + 1, each.moment.offset + 1)
            coarse = COARSE_OF.get(each.moment.label, "others")
            kind = f"{each.moment.kind}-expression"
            rows.append((video.number, f"{video.film}_{take}", *frames, each.cell, coarse, kind, each.moment.label))
    return rows


def _corrupt(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Makes of a clean table one like the release's; the faults are those of the clips' table."""
    macros = [index for index, row in enumerate(rows) if row[7] == f"{MACRO}-expression"]
    changed, said = list(rows), []
    faults = (
        ("the offset is 0: not coded", lambda row: (*row[:4], 0, *row[5:])),
        ("the apex lies behind the offset", lambda row: (*row[:3], row[4] + 1, *row[4:])),
        ("the apex is 0: not coded", lambda row: (*row[:3], 0, *row[4:])),
        ("action units are 'NULL'", lambda row: (*row[:5], "NULL", *row[6:])),
    )
    for index, (what, change) in zip(macros, faults, strict=False):
        changed[index] = change(rows[index])
        said.append(f"subject {rows[index][0]}, {rows[index][1]}: {what}")
    return changed, said
