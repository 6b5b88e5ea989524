"""The long videos of CAS(ME)^2 as their owners release them, filled with rendered faces.

    CAS(ME)^2code_final.xlsx                     three sheets without a header, as beside the clips
    rawvideo/s15/15_0101disgustingteeth.avi      one film, one person; frames are numbered from 1 in the sheets
    SURROGATE_disturbances.csv                   ours: blinks, gaze shifts, speech, movements of the head

Source: the corpus description of Qu et al., CAS(ME)^2, IEEE TAC 9(4) (2018).
Differs: which codec the release's .avi files have is not known; here it is Motion JPEG. Its folder rawpic, the same
frames as pictures, is left out. A person sees the films in another order, and each a minute long.
"""

import dataclasses

import numpy as np

from datasets.surrogate.casme_squared import COARSE_OF, FEELING_COUNTS, GEOMETRY, VIDEOS, list_subjects, make_table
from datasets.surrogate.emotions import EMOTION_SETS
from datasets.surrogate.identity import sample_people
from datasets.surrogate.long_plan import (
    check_duration,
    choose_expressive,
    corrupt_rows,
    describe_truth,
    film_long,
    group_by_person,
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
    names = [name for name, _, _ in list_subjects(options.num_subjects)]
    people = sample_people(options.seed, _FIRST_PERSON, names, GEOMETRY.tones)
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
    subjects = tuple(
        SubjectPlan(name, (f"rawvideo/{name}",), people[name], tuple(map(_plan_video, own)))
        for name, own in group_by_person(videos).items()
    )
    documents = {
        _TABLE: make_table(rows, [video.subject for video in videos]),
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
    """Returns one table row per expression, with 1-based frames."""
    rows = []
    for video in videos:
        for take, each in enumerate(video.scenario.expressions, start=1):
            frames = (each.moment.onset + 1, each.moment.apex + 1, each.moment.offset + 1)
            coarse = COARSE_OF.get(each.moment.label, "others")
            kind = f"{each.moment.kind}-expression"
            rows.append((video.number, f"{video.film}_{take}", *frames, each.cell, coarse, kind, each.moment.label))
    return rows


def _corrupt(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Corrupts some rows in the ways of the release; the faults are those of the table of clips."""
    macros = [index for index, row in enumerate(rows) if row[7] == f"{MACRO}-expression"]
    faults = (
        ("the offset is 0: not coded", lambda row: (*row[:4], 0, *row[5:])),
        ("the apex lies behind the offset", lambda row: (*row[:3], row[4] + 1, *row[4:])),
        ("the apex is 0: not coded", lambda row: (*row[:3], 0, *row[4:])),
        ("action units are 'NULL'", lambda row: (*row[:5], "NULL", *row[6:])),
    )
    return corrupt_rows(rows, macros, faults, lambda row: f"subject {row[0]}, {row[1]}")
