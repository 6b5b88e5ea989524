"""Scores of spotting as text for a terminal."""

import math
import textwrap
from collections.abc import Iterator, Sequence

from mer_jax.evaluation.intervals import Interval as ConfidenceInterval
from mer_jax.evaluation.score_text import WIDTH, lay_out
from mer_jax.spotting.counts import Counts
from mer_jax.spotting.evaluation import Evaluation
from mer_jax.spotting.measure import OVERALL, SpottingScores
from mer_jax.spotting.published_scripts import STRS_METRIC, PublishedScores

SURROGATE_LINE = "SURROGATE: rendered faces, not recordings of people"
DEFINITIONS = (
    "A prediction is right (TP) if it overlaps a label of the same video and kind by the IoU or more, one to one; "
    "frames are inclusive. F1 = 2 TP / (2 TP + FP + FN) from counts summed over all videos; AP is the average "
    "precision over all thresholds of the score; FA/min are false alarms a minute."
)

_EMOTIONS_NOTE = """\
  UAR is the mean precision there. An emotion that no found label has counts as 0. If all true positives
  have one and the same emotion, and all answers are right, F1 and STRS are not a number."""


def describe_evaluation(evaluation: Evaluation) -> str:
    """Formats all scores as tables and sentences."""
    return "\n\n".join(_list_parts(evaluation))


def _list_parts(evaluation: Evaluation) -> Iterator[str]:
    scores = evaluation.scores
    if evaluation.provenance == "surrogate":
        yield SURROGATE_LINE
    subjects = {video.subject for video in scores.videos} - {None}
    people = f", {len(subjects)} people" if subjects else ""
    length = "" if math.isnan(scores.minutes) else f", {scores.minutes:.2f} minutes"
    yield f"{len(scores.videos)} videos{length}{people}; IoU {scores.iou:g}"
    yield _describe_scores(scores)
    yield _describe_thresholds(scores)
    if scores.quiet.num_videos:
        yield _describe_quiet(scores)
    if causes := scores.count_false_alarms():
        yield lay_out(["what is labelled at false alarms", "number"], list(causes.items()))
    if evaluation.durations:
        unit = evaluation.duration_unit
        digits = 3 if unit == "s" else 0
        rows = [
            [
                row.kind,
                row.group,
                row.number,
                *(f"{each:.{digits}f}" for each in (row.shortest, row.median, row.longest)),
            ]
            for row in evaluation.durations
        ]
        yield lay_out(["duration", f"in {unit}", "number", "shortest", "median", "longest"], rows, num_left=2)
    if evaluation.length_bins:
        rows = [
            [f"{one.above_s:g} to {one.to_s:g} s" if math.isfinite(one.to_s) else f"above {one.above_s:g} s",
             one.labels, one.found, _format(one.found / one.labels)]
            for one in evaluation.length_bins
        ]  # fmt: skip
        yield lay_out(["labels by duration", "number", "found", "recall"], rows)
    if not math.isnan(evaluation.kappa):
        yield f"Cohen's kappa per 40 ms, predictions beside labels: {evaluation.kappa:.3f}"
    if any(evaluation.recognition.values()):
        yield _describe_recognition(evaluation)
    if evaluation.published:
        yield "\n\n".join(_describe_published(evaluation))
    yield "\n".join(textwrap.fill(each, WIDTH, subsequent_indent="  ") for each in (DEFINITIONS, *evaluation.notes))


def _describe_scores(scores: SpottingScores) -> str:
    has_scores = any(not math.isnan(each.average_precision) for each in scores.scores.values())
    has_minutes = not math.isnan(scores.minutes)
    has_people = any(each.f1_over_people for each in scores.scores.values())
    header = ["kind", "labels", "predicted", "TP", "FP", "FN", "precision", "recall", "F1", "95 % over videos"]
    header += ["over people"] * has_people + ["AP"] * has_scores + ["FA/min"] * has_minutes
    rows = []
    for kind in _list_kinds(scores):
        own = scores[kind]
        row: list[object] = [kind, own.counts.num_labels, own.counts.num_predictions, *_list_counts(own.counts)]
        row += [_format(value) for value in (own.counts.precision, own.counts.recall, own.counts.f1)]
        row += [_format_interval(own.f1_over_videos)] + [_format_interval(own.f1_over_people)] * has_people
        row += [_format(own.average_precision)] * has_scores + [_format(own.false_alarms_per_minute)] * has_minutes
        rows.append(row)
    total = scores[OVERALL]
    methods = [
        f"95 % interval: {interval.method}" + (f"; {interval.note}" if interval.note else "")
        for interval in (total.f1_over_videos, total.f1_over_people)
        if interval
    ]
    return "\n".join([lay_out(header, rows), *methods])


def _describe_thresholds(scores: SpottingScores) -> str:
    rows = [
        [kind, *(_format(counts[kind].f1) for counts in scores.by_iou.values())]
        + [_format(counts[kind].recall) for counts in scores.by_iou.values()]
        for kind in _list_kinds(scores)
    ]
    header = [f"{what} at {iou:g}" for what in ("F1", "recall") for iou in scores.by_iou]
    return lay_out(["kind", *header], rows)


def _describe_quiet(scores: SpottingScores) -> str:
    quiet = scores.quiet
    text = f"Videos without a labelled expression: {quiet.num_videos}; false alarms in them: {quiet.false_alarms}"
    if math.isnan(quiet.minutes):
        return text
    return f"{text} in {quiet.minutes:.2f} minutes, {quiet.false_alarms_per_minute:.3f} a minute"


def _describe_recognition(evaluation: Evaluation) -> str:
    rows = []
    for kind in _list_kinds(evaluation.scores):
        own = evaluation.recognition.get(kind)
        if own:
            values = (own.precision, own.recall, own.f1, own.uf1, own.uar, own.f1_spot, own.strs)
            rows.append([kind, int(own.confusion.sum()), *map(_format, values)])
    header = ["spot, then recognise", "TP", "precision", "recall", "F1", "UF1", "UAR", "F1 spotting", "STRS"]
    whole = evaluation.recognition[OVERALL]
    assert whole is not None
    left_out = f"; {whole.num_unlabelled} true positives have no emotion in their label" if whole.num_unlabelled else ""
    return f"{lay_out(header, rows)}\nemotions: {', '.join(whole.class_names)}{left_out}"


def _describe_published(evaluation: Evaluation) -> Iterator[str]:
    scores = evaluation.scores
    for script in evaluation.published:
        rows = [
            [kind, *_list_counts(script.counts[kind]), _format(script.counts[kind].f1), _format(scores[kind].counts.f1)]
            for kind in _list_kinds(scores)
        ]
        table = lay_out([f"as {script.script}", "TP", "FP", "FN", "F1", "ours"], rows)
        yield "\n".join([table, *_describe_steps(scores, script)])
    theirs, ours = evaluation.published_recognition, evaluation.recognition.get(OVERALL)
    if theirs and ours:
        rows = [
            [name, _format(getattr(theirs, name)), _format(getattr(ours, name))]
            for name in ("precision", "recall", "f1", "uf1", "uar", "strs")
        ]
        yield f"{lay_out([f'emotions as {STRS_METRIC}', 'theirs', 'ours'], rows)}\n{_EMOTIONS_NOTE}"


def _describe_steps(scores: SpottingScores, script: PublishedScores) -> Iterator[str]:
    before = scores[OVERALL].counts
    changed = False
    for step in script.steps:
        after = step.counts[OVERALL]
        if after != before:
            changed = True
            moved = ", ".join(
                f"{name} {one} to {other}"
                for name, one, other in zip(("TP", "FP", "FN"), _list_counts(before), _list_counts(after), strict=True)
                if one != other
            )
            yield textwrap.fill(f"{moved}: {step.reason}", WIDTH, initial_indent="  ", subsequent_indent="    ")
        before = after
    if not changed:
        yield "  no difference on these files"


def _list_kinds(scores: SpottingScores) -> Sequence[str]:
    return [OVERALL] if len(scores.kinds) == 1 else [*scores.kinds, OVERALL]


def _list_counts(counts: Counts) -> list[int]:
    return [counts.true_positives, counts.false_positives, counts.false_negatives]


def _format(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _format_interval(interval: ConfidenceInterval | None) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}" if interval else "–"
