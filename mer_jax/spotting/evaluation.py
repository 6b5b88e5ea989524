"""Everything that `mer score-spotting` says of two files: from their intervals to all scores."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

from mer_jax.data.provenance import is_surrogate
from mer_jax.errors import IntervalsError
from mer_jax.spotting.agreement import compute_kappa
from mer_jax.spotting.durations import DurationRow, LengthBin, list_durations
from mer_jax.spotting.interval import OTHER_MOVEMENTS, Interval
from mer_jax.spotting.interval_table import IntervalTable, VideoFacts, align_names
from mer_jax.spotting.measure import OVERALL, SpottingScores, score_spotting
from mer_jax.spotting.published_scripts import (
    PublishedRecognition,
    PublishedScores,
    score_as_published,
    score_recognition_as_published,
)
from mer_jax.spotting.recognition import RecognitionScores, score_recognition
from mer_jax.system.files import natural_key, printable

_Value = TypeVar("_Value")
_Placed = Mapping[str, Sequence[tuple[Interval, str | None]]]
Emotions = Mapping[str, tuple[str | None, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All scores of predicted intervals.

    Attributes:
        scores: Of spotting.
        recognition: By kind and `OVERALL`; None where predictions or labels have no emotions.
        durations: By kind and group.
        length_bins: Labels found by their duration; empty where frame rates are unknown.
        duration_unit: `s`, or `frames` where frame rates are unknown.
        kappa: Agreement of both codings; NaN where durations or frame rates are unknown.
        published: The answers of published scripts; empty unless asked for.
        published_recognition: What STRS-Metric says of the emotions.
        emotions: Of the predictions and of the labels that are scored.
        provenance: `surrogate` where one of the files says so.
        notes: How the files were read, and what has to be known of the scores.
    """

    scores: SpottingScores
    recognition: Mapping[str, RecognitionScores | None]
    durations: Sequence[DurationRow]
    length_bins: Sequence[LengthBin]
    duration_unit: str
    kappa: float
    published: Sequence[PublishedScores]
    published_recognition: PublishedRecognition | None
    emotions: tuple[Emotions, Emotions]
    provenance: str
    notes: tuple[str, ...]


def evaluate_tables(
    predicted: IntervalTable,
    truth: IntervalTable,
    *,
    videos: Mapping[str, VideoFacts] | None = None,
    frame_rate: float | None = None,
    iou: float = 0.5,
    as_published: bool = False,
) -> Evaluation:
    """Scores one file of intervals against another.

    Frames are compared where both files state them, and otherwise times as frames at the rate of each video.

    Args:
        predicted: Predictions.
        truth: Labels.
        videos: Facts about all videos that are to be scored, those without intervals too; None takes those of the
            files.
        frame_rate: Frames per second of all videos; None takes that of each video from `videos` or the files.
        iou: The least overlap, above 0 to 1.
        as_published: Adds what published scripts answer.

    Raises:
        IntervalsError: A frame rate that is needed is not known, a video is not in `videos`, or as `score_spotting`.
    """
    notes = [*predicted.notes, *truth.notes]
    predicted, truth, videos, shortened = _align(predicted, truth, videos)
    if shortened:
        notes.append(f"Videos are compared by their names without folder and suffix, such as {printable(shortened)}.")
    names = sorted({*predicted.videos, *truth.videos, *(videos or ())}, key=natural_key)
    facts = {name: (videos or {}).get(name, VideoFacts()) for name in names}
    for table in (predicted, truth):
        facts = {name: own.fill(table.videos.get(name, VideoFacts())) for name, own in facts.items()}
    rates = {name: frame_rate or own.frame_rate for name, own in facts.items()}
    in_frames = predicted.has_frames and truth.has_frames
    placed = [table.place_on_frames(rates, from_times=not in_frames) for table in (predicted, truth)]
    for name in videos or ():
        for side in placed:
            side.setdefault(name, [])
    if not in_frames:
        shown = ", ".join(f"{rate:g}" for rate in sorted({rate for rate in rates.values() if rate is not None}))
        notes.append(f"Times are compared as frames, at {shown} frames per second.")

    durations_s = _all_or_none({name: own.duration_s for name, own in facts.items()})
    subjects = _all_or_none({name: own.subject for name, own in facts.items()})
    for values, attribute, what in ((durations_s, "duration_s", "minutes"), (subjects, "subject", "people")):
        missing = [name for name, own in facts.items() if getattr(own, attribute) is None]
        if values is None and len(missing) < len(facts):
            notes.append(
                f"Nothing over {what}: {len(missing)} of {len(facts)} videos have no {attribute}, such as "
                f"{printable(missing[0])}."
            )
    provenances = (predicted.provenance, truth.provenance, *(own.provenance for own in facts.values()))
    scores = score_spotting(
        *({name: [each for each, _ in own] for name, own in side.items()} for side in placed),
        durations_s=durations_s,
        subjects=subjects,
        iou=iou,
    )
    known_rates = _all_or_none(rates)
    durations, length_bins = list_durations(scores, known_rates)
    emotions = (_list_emotions(placed[0], names), _list_emotions(placed[1], names))
    recognition: dict[str, RecognitionScores | None] = {}
    named = [sorted({each for own in side.values() for each in own if each}, key=natural_key) for side in emotions]
    if {*named[0]} & {*named[1]}:
        recognition = {kind: score_recognition(scores, *emotions, kind=kind) for kind in (*scores.kinds, OVERALL)}
        if not any(recognition.values()):
            notes.append("Emotions are not scored: no true positive has one in both files.")
    elif all(named):
        shown = [printable(", ".join(names[:5])) for names in named]
        notes.append(f"Emotions are not scored: predictions name {shown[0]}, and labels {shown[1]}.")
    return Evaluation(
        scores=scores,
        recognition=recognition,
        durations=durations,
        length_bins=length_bins,
        duration_unit="frames" if known_rates is None else "s",
        kappa=float("nan") if known_rates is None else compute_kappa(scores, known_rates),
        published=score_as_published(scores) if as_published else (),
        published_recognition=score_recognition_as_published(scores, *emotions)
        if as_published and any(recognition.values())
        else None,
        emotions=emotions,
        provenance="surrogate" if any(map(is_surrogate, provenances)) else "unstated",
        notes=(*notes, *scores.notes),
    )


def _align(
    predicted: IntervalTable, truth: IntervalTable, videos: Mapping[str, VideoFacts] | None
) -> tuple[IntervalTable, IntervalTable, Mapping[str, VideoFacts] | None, str]:
    """Gives both tables the same names of videos; returns an example where names are shortened."""
    example = ""
    if shorten := align_names([*predicted.videos], [*truth.videos]):
        example = shorten(next(iter(truth.videos)))
        predicted, truth = (
            table.rename({name: shorten(name) for name in table.videos}) for table in (predicted, truth)
        )
    if videos is None:
        return predicted, truth, None, example
    used = sorted({*predicted.videos, *truth.videos}, key=natural_key)
    if shorten := align_names(used, [*videos]):
        example = shorten(used[0])
        predicted, truth = (
            table.rename({name: shorten(name) for name in table.videos}) for table in (predicted, truth)
        )
        videos = {shorten(name): facts for name, facts in videos.items()}
        used = sorted({*map(shorten, used)}, key=natural_key)
    if missing := [name for name in used if name not in videos]:
        raise IntervalsError(
            f"--videos lacks {len(missing)} of {len(used)} videos, such as {printable(missing[0])!r}; expected a row "
            "for each video"
        )
    return predicted, truth, videos, example


def _all_or_none(values: Mapping[str, _Value | None]) -> dict[str, _Value] | None:
    """The values, if none of them is missing."""
    known = {name: value for name, value in values.items() if value is not None}
    return known if known and len(known) == len(values) else None


def _list_emotions(placed: _Placed, names: Sequence[str]) -> Emotions:
    """Emotions of the intervals that are scored, in lower case, by video."""
    return {
        name: tuple(
            emotion and emotion.casefold() for each, emotion in placed.get(name, ()) if each.kind not in OTHER_MOVEMENTS
        )
        for name in names
    }
