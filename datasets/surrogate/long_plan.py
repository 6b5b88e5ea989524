"""Shared planning of surrogate long videos: durations, expressive videos, annotations and ground truth."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from datasets.surrogate.identity import Subject
from datasets.surrogate.long_scenario import LongScenario, sample_long_scenario
from datasets.surrogate.plan import CorpusOptions
from datasets.surrogate.scenario import UnitSets
from datasets.surrogate.studio import CorpusGeometry
from datasets.surrogate.workbook import Row
from datasets.truth import COLUMNS
from mer_jax.errors import ConfigError
from mer_jax.system.files import format_csv

DURATIONS_S = (10.0, 3600.0)  # of a video; below there is hardly room for one expression and one disturbance
_STILL = 0.25  # share of videos without an expression

Fault = tuple[str, Callable[[Row], Row]]


class _OfPerson(Protocol):
    @property
    def subject(self) -> str: ...


_Video = TypeVar("_Video", bound=_OfPerson)


def check_duration(options: CorpusOptions) -> float:
    """Validates and returns the duration of a video, in seconds.

    Raises:
        ConfigError: they are out of their range.
    """
    duration_s = options.duration_s or 0.0
    if not DURATIONS_S[0] <= duration_s <= DURATIONS_S[1]:
        raise ConfigError(
            f"duration of a long video is {duration_s:g} s; expected {DURATIONS_S[0]:g} to {DURATIONS_S[1]:g}"
        )
    return duration_s


def choose_expressive(rng: np.random.Generator, num_videos: int) -> list[bool]:
    """Chooses which videos contain expressions: of two or more, a quarter have none, and at least one."""
    num_still = max(1, round(_STILL * num_videos)) if num_videos > 1 else 0
    still = set(rng.permutation(num_videos)[:num_still].tolist())
    return [video not in still for video in range(num_videos)]


def film_long(
    options: CorpusOptions,
    number: int,
    subject: Subject,
    geometry: CorpusGeometry,
    *,
    emotions: Mapping[str, Mapping[str, float]],
    unit_sets: Mapping[str, UnitSets],
    is_expressive: bool,
) -> LongScenario:
    """Samples the scenario of one long video.

    Args:
        options: difficulty, seed, version and duration.
        number: of the video in all corpora; with the seed it determines the video.
        subject: who.
        geometry: how it is filmed.
        emotions: for micro and macro, how often each emotion occurs.
        unit_sets: what each emotion moves.
        is_expressive: whether there are expressions.
    """
    return sample_long_scenario(
        np.random.default_rng([options.seed, 29, number]),
        subject,
        options.difficulty_preset,
        fps=geometry.fps,
        num_frames=round(check_duration(options) * geometry.fps),
        emotions=emotions,
        unit_sets=unit_sets,
        is_expressive=is_expressive,
        version=options.version,
    )


def group_by_person(videos: Iterable[_Video]) -> dict[str, list[_Video]]:
    """Groups videos by their subject, in the order in which subjects first occur."""
    by_person: dict[str, list[_Video]] = {}
    for video in videos:
        by_person.setdefault(video.subject, []).append(video)
    return by_person


def corrupt_rows(
    rows: Sequence[Row], places: Iterable[int], faults: Iterable[Fault], name_row: Callable[[Row], str]
) -> tuple[list[Row], list[str]]:
    """Corrupts annotation rows, one fault per row.

    Args:
        rows: of the table.
        places: rows that get one, in order.
        faults: what is wrong, in words, and how a row becomes so.
        name_row: names a row in words.

    Returns:
        The rows, and what was done to which.
    """
    changed, said = list(rows), []
    for index, (what, change) in zip(places, faults, strict=False):
        changed[index] = change(rows[index])
        said.append(f"{name_row(rows[index])}: {what}")
    return changed, said


def describe_truth(scenario: LongScenario, path: str) -> dict[str, Any]:
    """Returns the ground truth of a video for the marker file; frames are 0-based.

    Args:
        scenario: what happens.
        path: of the video, relative to the corpus root.
    """
    expressions = [
        {
            "type": each.moment.kind,
            "label": each.moment.label,
            "shown": each.shown,
            "action_units": list(each.action_units),
            "onset": each.moment.onset,
            "apex": each.moment.apex,
            "offset": each.moment.offset,
            "peak_percent_iod": round(each.peak_percent_iod, 4),
        }
        for each in scenario.expressions
    ]
    return {
        "path": path,
        "frame_rate": scenario.fps,
        "num_frames": scenario.num_frames,
        "expressions": expressions,
        "num_disturbances": len(scenario.disturbances),
    }


def write_disturbances(videos: Iterable[tuple[str, str, LongScenario]]) -> bytes:
    """Formats the ground truth of blinks, gaze shifts, speech and head movements as CSV; 0-based, inclusive frames.

    Args:
        videos: for each its name below the folder of videos, its subject, and what happens.
    """
    rows = [
        (name, subject, f"{scenario.fps:g}", scenario.num_frames, each.onset, each.apex, each.offset, each.kind,
         each.label, "surrogate")
        for name, subject, scenario in videos
        for each in scenario.disturbances
    ]  # fmt: skip
    return format_csv(COLUMNS, rows).encode()
