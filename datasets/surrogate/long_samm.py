"""The long videos of SAMM as their owners release them, filled with rendered faces.

    SAMM_LongVideos_V3_Release.xlsx         sheet FACS_Movement_Only: ten rows of text and header, then macro and micro
    SAMM_Micro_FACS_Codes_v2.xlsx           the emotions of the micro-movements, which the sheet above has not
    SAMM_longvideos/006_1/006_1_0001.jpg    gray, 960x650, numbered from 1
    SURROGATE_disturbances.csv              ours: blinks, gaze shifts, speech, movements of the head

Source: the corpus description of Yap, Kendrick and Yap, SAMM Long Videos, FG 2020.
Differs: inducements are numbered per person; macro-movements have an emotion in the marker, though the release states
none.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from datasets.surrogate.emotions import EMOTION_SETS, objective_class
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
from datasets.surrogate.long_scenario import Expression, LongScenario
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, FrameFolder, SubjectPlan, apportion
from datasets.surrogate.samm import EMOTION_COUNTS, GEOMETRY, make_micro_table, name_subjects
from datasets.surrogate.workbook import Formula, IdText, Row, make_workbook
from datasets.truth import DISTURBANCES_NAME
from mer_jax.spotting.interval import MACRO, MICRO

NUM_SUBJECTS, NUM_VIDEOS, DURATION_S = 4, 8, 15.0
_TABLE, _SHEET = "SAMM_LongVideos_V3_Release.xlsx", "FACS_Movement_Only"
_MICRO_TABLE = "SAMM_Micro_FACS_Codes_v2.xlsx"
_HEADER = ("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units",
           "Notes")  # fmt: skip
_HEADER_ROW = 10  # as programs count, from 1
_FIRST_PERSON, _FIRST_VIDEO = 6000, 400
_EMOTIONS = {"others" if name == "Other" else name.lower(): count for name, count in EMOTION_COUNTS.items()}


@dataclasses.dataclass(frozen=True)
class _Video:
    subject: str
    inducement: int
    scenario: LongScenario
    num_digits: int

    @property
    def name(self) -> str:
        return f"{self.subject}_{self.inducement}"


def plan_samm_long(options: CorpusOptions) -> CorpusPlan:
    """Plans the corpus.

    Args:
        options: its clips are videos. Subjects beyond the 29 of the release are named 038 and so on.
    """
    options.validate(1, "SAMM", has_exact=False)
    check_duration(options)
    rng = np.random.default_rng([options.seed, 24])
    names = name_subjects(options.num_subjects)
    people = sample_people(options.seed, _FIRST_PERSON, names, GEOMETRY.tones)
    expressive = iter(choose_expressive(rng, options.num_clips))
    videos: list[_Video] = []
    for name, share in zip(names, apportion(options.num_clips, [1] * len(names)), strict=True):
        for inducement in range(1, share + 1):
            scenario = film_long(
                options,
                _FIRST_VIDEO + len(videos),
                people[name],
                GEOMETRY,
                emotions={MICRO: _EMOTIONS, MACRO: _EMOTIONS},
                unit_sets={name: EMOTION_SETS[name] for name in _EMOTIONS},
                is_expressive=next(expressive),
            )
            # As in the release, the padding of frame numbers differs between folders.
            videos.append(_Video(name, inducement, scenario, 4 + len(videos) % 2))

    rows, quirks = [row for video in videos for row in _list_rows(video)], []
    if options.quirks:
        rows, quirks = _corrupt(rows)
    subjects = tuple(
        SubjectPlan(
            name,
            tuple(f"SAMM_longvideos/{video.name}" for video in own),
            people[name],
            tuple(map(_plan_video, own)),
        )
        for name, own in group_by_person(videos).items()
    )
    documents = {
        _TABLE: _make_table(rows),
        _MICRO_TABLE: make_micro_table([row for video in videos for row in _list_micro_rows(video)]),
        DISTURBANCES_NAME: write_disturbances((video.name, video.subject, video.scenario) for video in videos),
    }
    geometry = GEOMETRY.scaled(options.scale)
    return CorpusPlan(
        "samm", "SAMM (long videos)", "SAMM_LongVideos", geometry, options, subjects, documents, tuple(quirks), "long"
    )


def _plan_video(video: _Video) -> ClipPlan:
    path = f"SAMM_longvideos/{video.name}"
    numbers = range(1, video.scenario.num_frames + 1)
    file_names = tuple(f"{video.name}_{number:0{video.num_digits}d}.jpg" for number in numbers)
    truth = describe_truth(video.scenario, path)
    return ClipPlan(video.name, video.scenario.spec, (FrameFolder(path, file_names),), truth=truth)


def _list_rows(video: _Video) -> list[Row]:
    """Returns one table row per expression, with 1-based frames; `_make_table` adds the duration formula."""
    return [
        (IdText(video.subject), f"{video.name}_{take}", video.inducement, *_numbers(each),
         "Micro - 1/2" if each.moment.kind == MICRO else "Macro", each.cell, None)
        for take, each in enumerate(video.scenario.expressions, start=1)
    ]  # fmt: skip


def _list_micro_rows(video: _Video) -> list[Row]:
    """Returns the rows of the micro-movement sheet, without durations."""
    return [
        (IdText(video.subject), f"{video.name}_{take}", video.inducement, *_numbers(each), "Micro - 1/2", each.cell,
         "Other" if each.moment.label == "others" else each.moment.label.capitalize(),
         objective_class(each.action_units), None)
        for take, each in enumerate(video.scenario.expressions, start=1)
        if each.moment.kind == MICRO
    ]  # fmt: skip


def _numbers(expression: Expression) -> tuple[int, int, int]:
    moment = expression.moment
    return moment.onset + 1, moment.apex + 1, moment.offset + 1


def _make_table(rows: Sequence[Row]) -> bytes:
    preamble: list[Row] = [() for _ in range(_HEADER_ROW - 1)]
    preamble[0] = ("SAMM Long Videos - FACS codes", *(None,) * 3, "Surrogate: rendered faces")
    preamble[2] = (*(None,) * 4, "No row describes a recording", *(None,) * 3, "Made by a program")
    filled = []
    for number, row in enumerate(rows, start=_HEADER_ROW + 1):
        duration = Formula(f"=SUM(F{number}-D{number})+1", row[5] - row[3] + 1)
        filled.append((*row[:6], duration, *row[6:]))
    return make_workbook({_SHEET: [*preamble, _HEADER, *filled]})


def _corrupt(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Corrupts some rows in the ways of the release: onset or offset 0 for movements that are cut off."""
    faults = (
        ("the onset is 0: before the recording", lambda row: (*row[:3], 0, *row[4:])),
        ("the offset is 0: not coded", lambda row: (*row[:5], 0, *row[6:])),
    )
    return corrupt_rows(rows, range(len(rows)), faults, lambda row: str(row[1]))
