"""What the scripts that published numbers come from answer on the same intervals, and why it differs.

Two scripts, written anew from what they do: that of the organisers of MEGC 2020, and STRS-Metric, to which MEGC 2024
and 2025 point. Neither knows kinds, so each is given one kind at a time, as the protocol asks. From our counts to
theirs there is one step for each thing that they do differently.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mer_jax.spotting.counts import Counts, sum_counts
from mer_jax.spotting.interval import Interval
from mer_jax.spotting.matching import compute_ious, match_intervals
from mer_jax.spotting.measure import OVERALL, SpottingScores, VideoScores
from mer_jax.spotting.recognition import Labels

MEGC_2020 = "MEGC 2020"
STRS_METRIC = "STRS-Metric"
_Count = Callable[[Sequence[Interval], Sequence[Interval], float], Counts]
_Ious = Callable[[Sequence[Interval], Sequence[Interval]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that a script does differently.

    Attributes:
        reason: What it does.
        counts: By kind and `OVERALL`, with this step and those before it.
    """

    reason: str
    counts: Mapping[str, Counts]


@dataclasses.dataclass(frozen=True)
class PublishedScores:
    """The answer of a script.

    Attributes:
        script: Its name.
        steps: From the measure of this library to the script's.
    """

    script: str
    steps: tuple[Step, ...]

    @property
    def counts(self) -> Mapping[str, Counts]:
        """What the script prints, by kind and `OVERALL`."""
        return self.steps[-1].counts


@dataclasses.dataclass(frozen=True)
class PublishedRecognition:
    """Emotions of true positives, as STRS-Metric scores them; NaN where it prints NaN.

    Attributes:
        precision: Mean over the emotions of all labels, 0 for one that is never right.
        recall: Likewise.
        uf1: Likewise.
        f1: Harmonic mean of precision and recall; NaN if both are 0.
        strs: F1 of spotting times `f1`.
    """

    precision: float
    recall: float
    uf1: float
    f1: float
    strs: float

    @property
    def uar(self) -> float:
        """What is printed as UAR: the mean precision."""
        return self.precision


def score_as_published(scores: SpottingScores) -> tuple[PublishedScores, ...]:
    """Scores the same intervals as the published scripts do.

    Args:
        scores: From `score_spotting`; with subjects, people without a prediction are skipped as STRS-Metric does.

    Returns:
        The answers of both scripts.
    """
    everything = _keep_all
    megc = [
        ("The overlap of an interval of one frame is 0, and intervals apart share a frame: the +1 is outside of "
         "max(0, ...).", everything, _match_by(compute_megc_ious)),
        ("A label is found if any prediction overlaps it, so one prediction finds several labels; false alarms are "
         "predictions minus labels found, which may be negative.", everything, _count_labels),
    ]  # fmt: skip
    strs = [
        ("Videos without labels are skipped, with all of their false alarms.", _keep_labelled, _match_by(compute_ious)),
        ("People without any prediction are skipped, with all of their misses.", _keep_tried, _match_by(compute_ious)),
        ("Predictions take labels first come, first served, and so may take the wrong one.", _keep_tried, _first_come),
        ("One prediction takes every free label that it overlaps.", _keep_tried, _take_all),
    ]  # fmt: skip
    return tuple(
        PublishedScores(name, tuple(Step(reason, _count_videos(scores, keep, count)) for reason, keep, count in rules))
        for name, rules in ((MEGC_2020, megc), (STRS_METRIC, strs))
    )


def score_recognition_as_published(
    scores: SpottingScores, predicted: Labels, truth: Labels, *, kind: str = OVERALL
) -> PublishedRecognition | None:
    """Scores the emotions of true positives as STRS-Metric does.

    Args:
        scores: From `score_spotting`.
        predicted: As for `recognition.score_recognition`.
        truth: Likewise.
        kind: A kind, or `OVERALL`.

    Returns:
        The scores; None without an emotion among the labels.
    """
    pairs: list[tuple[str | None, str | None]] = []
    for each in scores.kinds if kind == OVERALL else (kind,):
        for video in _keep_tried(scores.videos, each):
            own = [[index for index, one in enumerate(side) if one.kind == each]
                   for side in (video.predicted, video.truth)]  # fmt: skip
            alarms, labels = [video.predicted[index] for index in own[0]], [video.truth[index] for index in own[1]]
            for one, other in take_labels(alarms, labels, scores.iou, several=True):
                pairs.append((truth[video.name][own[1][other]], predicted[video.name][own[0][one]]))
    names = sorted({name for own in truth.values() for name in own if name is not None})
    if not names:
        return None
    pairs = [pair for pair in pairs if pair[0] in names]
    values = np.array([_score_class(name, pairs) for name in names])
    precision, recall, uf1 = values.mean(0).tolist()
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else float("nan")
    f1_spot = score_as_published(scores)[1].counts[kind].f1
    return PublishedRecognition(precision, recall, uf1, f1, f1_spot * f1)


def compute_megc_ious(predicted: Sequence[Interval], truth: Sequence[Interval]) -> np.ndarray:
    """Overlaps as the script of MEGC 2020 computes them.

    Example:
        >>> one, other = (Interval(onset_frame=onset, offset_frame=onset + 1) for onset in (0, 50))
        >>> compute_megc_ious([one], [other]).round(3).tolist()
        [[0.333]]
    """
    ious = np.zeros((len(predicted), len(truth)))
    for row, one in enumerate(predicted):
        for column, other in enumerate(truth):
            lengths = [each.offset_frame - each.onset_frame for each in (one, other)]
            if min(lengths) < 1:
                continue
            both = min(one.offset_frame, other.offset_frame) - max(one.onset_frame, other.onset_frame)
            both = max(0, both) + 1
            ious[row, column] = both / (sum(lengths) + 2 - both)
    return ious


def take_labels(
    predicted: Sequence[Interval], truth: Sequence[Interval], iou: float, *, several: bool
) -> list[tuple[int, int]]:
    """Lets predictions take labels in their order, each the first free one that it overlaps, or all of them."""
    ious = compute_ious(predicted, truth)
    taken: dict[int, int] = {}
    for row in range(len(predicted)):
        free = [column for column in range(len(truth)) if ious[row, column] >= iou and column not in taken]
        taken.update((column, row) for column in (free if several else free[:1]))
    return sorted((row, column) for column, row in taken.items())


def _match_by(ious: _Ious) -> _Count:
    """Our matching, one to one and as large as possible, on overlaps of any formula."""

    def count(predicted: Sequence[Interval], truth: Sequence[Interval], iou: float) -> Counts:
        right = len(match_intervals(predicted, truth, iou=iou, ious=ious(predicted, truth)))
        return Counts(right, len(predicted) - right, len(truth) - right)

    return count


def _count_labels(predicted: Sequence[Interval], truth: Sequence[Interval], iou: float) -> Counts:
    right = int((compute_megc_ious(predicted, truth) >= iou).any(0).sum())
    return Counts(right, len(predicted) - right, len(truth) - right)


def _first_come(predicted: Sequence[Interval], truth: Sequence[Interval], iou: float) -> Counts:
    right = len(take_labels(predicted, truth, iou, several=False))
    return Counts(right, len(predicted) - right, len(truth) - right)


def _take_all(predicted: Sequence[Interval], truth: Sequence[Interval], iou: float) -> Counts:
    pairs = take_labels(predicted, truth, iou, several=True)
    return Counts(len(pairs), len(predicted) - len({row for row, _ in pairs}), len(truth) - len(pairs))


def _count_videos(
    scores: SpottingScores, keep: Callable[[Sequence[VideoScores], str], list[VideoScores]], count: _Count
) -> dict[str, Counts]:
    counts = {}
    for kind in scores.kinds:
        sides = [
            [[each for each in side if each.kind == kind] for side in (video.predicted, video.truth)]
            for video in keep(scores.videos, kind)
        ]
        counts[kind] = sum_counts(count(alarms, labels, scores.iou) for alarms, labels in sides)
    return {**counts, OVERALL: sum_counts(counts.values())}


def _keep_all(videos: Sequence[VideoScores], kind: str) -> list[VideoScores]:
    return list(videos)


def _keep_labelled(videos: Sequence[VideoScores], kind: str) -> list[VideoScores]:
    return [video for video in videos if any(each.kind == kind for each in video.truth)]


def _keep_tried(videos: Sequence[VideoScores], kind: str) -> list[VideoScores]:
    """Labelled videos of people with a prediction of this kind; of everybody where people are unknown."""
    tried = {video.subject for video in videos if any(each.kind == kind for each in video.predicted)}
    return [video for video in _keep_labelled(videos, kind) if video.subject is None or video.subject in tried]


def _score_class(name: str, pairs: Sequence[tuple[str | None, str | None]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of an emotion; 0 where it is in all pairs or in none: a table of one cell."""
    table = np.array([(true == name, answer == name) for true, answer in pairs], bool).reshape(-1, 2)
    if table.all() or not table.any():
        return 0.0, 0.0, 0.0
    right, predicted, true = int(table.all(1).sum()), int(table[:, 1].sum()), int(table[:, 0].sum())
    counts = Counts(right, predicted - right, true - right)
    values = np.nan_to_num([counts.precision, counts.recall, counts.f1]).tolist()
    return values[0], values[1], values[2]
