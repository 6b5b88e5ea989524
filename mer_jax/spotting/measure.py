"""The measure of spotting: how many of the labelled expressions are found, and how many alarms are false."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from mer_jax.errors import IntervalsError
from mer_jax.evaluation.intervals import Interval as ConfidenceInterval
from mer_jax.spotting.average_precision import compute_average_precision
from mer_jax.spotting.bootstrap import DRAWS, bootstrap_f1
from mer_jax.spotting.counts import Counts, sum_counts
from mer_jax.spotting.false_alarms import explain_false_alarms
from mer_jax.spotting.interval import EXPRESSIONS, GIVEN, OTHER_MOVEMENTS, WHOLE, Interval
from mer_jax.spotting.matching import Match, match_intervals
from mer_jax.system.files import natural_key, printable

OVERALL = "overall"  # sums over the kinds
ANY_EXPRESSION = "expression"  # the one kind of files that do not tell micro from macro
IOUS = (0.3, 0.5, 0.7)
Intervals = Mapping[str, Sequence[Interval]]  # by video
_LONGEST_VIDEO_S = 1e6  # twelve days: beyond, frames or milliseconds are meant


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindScores:
    """Scores of one kind of expression over all videos, or of all kinds together.

    Attributes:
        counts: Sums over the videos; precision, recall and F1 are computed from them.
        f1_over_videos: 95 % interval of the F1; None with fewer than two videos.
        f1_over_people: The same over people; None where subjects are unknown or there is only one.
        average_precision: NaN if a prediction has no score, or without labels.
        false_alarms_per_minute: NaN where durations are unknown.
    """

    counts: Counts
    f1_over_videos: ConfidenceInterval | None
    f1_over_people: ConfidenceInterval | None
    average_precision: float
    false_alarms_per_minute: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoScores:
    """What was found in one video.

    Attributes:
        name: Of the video.
        subject: Whom it shows; None where unknown.
        duration_s: Length of the video; NaN where unknown.
        predicted: The predictions that are scored, in their order.
        truth: The labels that are scored, in their order.
        matches: Which of these found which.
        false_alarms: What is labelled at each prediction without a match; see `explain_false_alarms`.
        counts: By kind.
    """

    name: str
    subject: str | None
    duration_s: float
    predicted: tuple[Interval, ...]
    truth: tuple[Interval, ...]
    matches: tuple[Match, ...]
    false_alarms: tuple[str, ...]
    counts: Mapping[str, Counts]


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuietVideos:
    """Videos without any labelled expression, in which every alarm is false.

    Attributes:
        num_videos: How many there are.
        false_alarms: Predictions in them.
        minutes: Their length; NaN where durations are unknown.
    """

    num_videos: int
    false_alarms: int
    minutes: float

    @property
    def false_alarms_per_minute(self) -> float:
        """NaN where durations are unknown or there is no such video."""
        return self.false_alarms / self.minutes if self.minutes else float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpottingScores:
    """Scores of predicted intervals.

    Attributes:
        iou: The least overlap of a prediction with the label that it finds.
        kinds: Kinds that are scored apart: micro and macro, or `ANY_EXPRESSION` alone.
        scores: By kind, and `OVERALL`.
        by_iou: Counts at each of `IOUS` and `iou`, by kind and `OVERALL`.
        videos: In natural order of their names.
        quiet: The videos without labels.
        minutes: Length of all videos; NaN where durations are unknown.
        notes: What a reader of the scores has to know, one sentence each.
    """

    iou: float
    kinds: tuple[str, ...]
    scores: Mapping[str, KindScores]
    by_iou: Mapping[float, Mapping[str, Counts]]
    videos: tuple[VideoScores, ...]
    quiet: QuietVideos
    minutes: float
    notes: tuple[str, ...]

    def __getitem__(self, kind: str) -> KindScores:
        """Scores of a kind, or of `OVERALL`."""
        return self.scores[kind]

    def count_false_alarms(self) -> dict[str, int]:
        """Number of false alarms by what is labelled there, the most frequent first."""
        reasons = Counter(reason for video in self.videos for reason in video.false_alarms)
        return dict(reasons.most_common())


def score_spotting(
    predicted: Intervals,
    truth: Intervals,
    *,
    durations_s: Mapping[str, float] | None = None,
    subjects: Mapping[str, str] | None = None,
    iou: float = 0.5,
    draws: int = DRAWS,
) -> SpottingScores:
    """Scores predicted intervals of expressions against labelled ones.

    A prediction is right if it overlaps a label of the same video and kind by `iou` or more, in inclusive frames, and
    no other prediction takes that label: pairs are one to one, and as many as possible. Counts are summed over videos
    before anything is divided, and over kinds for `OVERALL`, so a micro-expression predicted on a macro-expression is a
    false alarm and a miss. Intervals of other movements, such as blinks, are not scored. Where all predictions or all
    labels are of kind `given`, everything is scored as one kind.

    Args:
        predicted: Predictions by video. A video that is missing here has none.
        truth: Labels by video. A video that is missing here has none: every prediction in it is a false alarm.
        durations_s: Length of each video; videos that occur only here have neither predictions nor labels.
        subjects: Whom each video shows.
        iou: The least overlap, above 0 to 1.
        draws: Of the bootstrap.

    Returns:
        The scores.

    Raises:
        IntervalsError: An offset before its onset, the same label twice, kinds beside intervals without a kind, no
            video in common, or a video without a duration or subject where others have one.

    Source: See et al., "MEGC 2019", and Li et al., "MEGC 2020: the third facial micro-expression grand challenge".
    Differs: one prediction finds one label at most, and videos without labels count; see docs/spotting.md.

    Example:
        >>> labels = [Interval(onset_frame=0, offset_frame=4, kind="micro")]
        >>> alarms = [Interval(onset_frame=0, offset_frame=9, kind="micro")]
        >>> score_spotting({"a": alarms}, {"a": labels})["micro"].counts
        Counts(true_positives=1, false_positives=0, false_negatives=0)
    """
    if not 0 < iou <= 1:
        raise IntervalsError(f"got an IoU of {iou:g}; expected a number above 0, to 1")
    names = sorted({*predicted, *truth, *(durations_s or ())}, key=natural_key)
    if not names:
        raise IntervalsError("got no videos; expected predictions or labels of at least one")
    _check_videos(predicted, truth, names, durations_s, subjects)
    for what, intervals in (("prediction", predicted), ("label", truth)):
        _check_intervals(what, intervals)
    kinds, notes = _choose_kinds(predicted, truth)
    alarms, labels = (_keep_expressions(each, names, kinds) for each in (predicted, truth))
    notes += _describe_oddities(predicted, alarms, labels, truth)
    videos = tuple(
        _score_video(name, alarms[name], labels[name], truth.get(name, ()), kinds, iou, durations_s, subjects)
        for name in names
    )
    minutes = sum(each.duration_s for each in videos) / 60
    quiet = [each for each in videos if not each.truth]
    return SpottingScores(
        iou=iou,
        kinds=kinds,
        scores={kind: _score_kind(kind, kinds, videos, minutes, iou, draws) for kind in (*kinds, OVERALL)},
        by_iou={each: _count_all(alarms, labels, kinds, each) for each in sorted({*IOUS, iou})},
        videos=videos,
        quiet=QuietVideos(
            num_videos=len(quiet),
            false_alarms=sum(len(each.predicted) for each in quiet),
            minutes=sum(each.duration_s for each in quiet) / 60,
        ),
        minutes=minutes,
        notes=tuple(notes),
    )


def _check_videos(
    predicted: Intervals,
    truth: Intervals,
    names: Sequence[str],
    durations_s: Mapping[str, float] | None,
    subjects: Mapping[str, str] | None,
) -> None:
    if predicted and truth and not {*predicted} & {*truth} and not durations_s:
        one, other = (printable(min(each, key=natural_key)) for each in (predicted, truth))
        raise IntervalsError(
            f"predictions and labels have no video in common: {one!r} is in the first, {other!r} in the second; "
            "expected the same names"
        )
    for what, given in (("duration", durations_s), ("subject", subjects)):
        missing = [name for name in names if given is not None and name not in given]
        if missing:
            raise IntervalsError(
                f"video {printable(missing[0])!r} has no {what}, as {len(missing)} of {len(names)}; expected one for "
                "each video, or for none"
            )
    for name, duration in (durations_s or {}).items():
        if not 0 < duration <= _LONGEST_VIDEO_S:
            raise IntervalsError(
                f"video {printable(name)!r} lasts {duration:g} s; expected a number above 0, up to {_LONGEST_VIDEO_S:g}"
            )


def _check_intervals(what: str, intervals: Intervals) -> None:
    for name, own in intervals.items():
        seen = set()
        for each in own:
            place = f"{what} {each.onset_frame}-{each.offset_frame} ({each.kind}) of video {printable(name)!r}"
            if not 0 <= each.onset_frame <= each.offset_frame:
                raise IntervalsError(f"{place}: expected an onset from 0 on, and an offset that is not before it")
            key = (each.onset_frame, each.offset_frame, each.kind, each.face_id)
            if what == "label" and key in seen:
                raise IntervalsError(f"{place} is there twice; expected each label once")
            seen.add(key)


def _choose_kinds(predicted: Intervals, truth: Intervals) -> tuple[tuple[str, ...], list[str]]:
    """The kinds to score apart, and a note where it is one."""
    untold = []
    for what, intervals in (("predictions", predicted), ("labels", truth)):
        kinds = {each.kind for own in intervals.values() for each in own} - {*OTHER_MOVEMENTS}
        unknown = sorted(kinds - {*EXPRESSIONS, GIVEN, WHOLE, ANY_EXPRESSION})
        if unknown:
            known = ", ".join((*EXPRESSIONS, *OTHER_MOVEMENTS, GIVEN))
            raise IntervalsError(f"{what} have the kind {printable(unknown[0])!r}; expected one of {known}")
        if kinds & {*EXPRESSIONS} and kinds - {*EXPRESSIONS}:
            raise IntervalsError(
                f"some {what} are of kind {min(kinds & {*EXPRESSIONS})} and some of {min(kinds - {*EXPRESSIONS})}; "
                "expected micro or macro for all of them, or for none"
            )
        if kinds and not kinds & {*EXPRESSIONS}:
            untold.append(what)
    if not untold:
        return EXPRESSIONS, []
    return (ANY_EXPRESSION,), [f"One kind: {' and '.join(untold)} do not tell micro- from macro-expressions."]


def _keep_expressions(
    intervals: Intervals, names: Sequence[str], kinds: tuple[str, ...]
) -> dict[str, tuple[Interval, ...]]:
    """The intervals that are scored, in their order; all of one kind where kinds are not told apart."""
    kept = {}
    for name in names:
        own = [each for each in intervals.get(name, ()) if each.kind not in OTHER_MOVEMENTS]
        if kinds == (ANY_EXPRESSION,):
            own = [dataclasses.replace(each, kind=ANY_EXPRESSION) for each in own]
        kept[name] = tuple(own)
    return kept


def _describe_oddities(predicted: Intervals, alarms: Intervals, labels: Intervals, truth: Intervals) -> list[str]:
    notes = []
    for where, other, what, means in (
        (predicted, truth, "labels", "every prediction there is a false alarm"),
        (truth, predicted, "predictions", "every label there is missed"),
    ):
        if only := sorted({*where} - {*other}, key=natural_key):
            notes.append(
                f"Not among the {what}: {len(only)} of {len(alarms)} videos, such as {printable(only[0])}; {means}."
            )
    others = sum(len(own) for own in predicted.values()) - sum(map(len, alarms.values()))
    if others:
        notes.append(f"Not scored: {others} predictions of other movements ({', '.join(OTHER_MOVEMENTS)}).")
    faces = [name for name, own in alarms.items() if len({each.face_id for each in own}) > 1]
    if faces:
        notes.append(f"Predictions of several faces in {printable(faces[0])} are scored against the same labels.")
    for what, intervals in (("Labels", labels), ("Predictions", alarms)):
        pairs = [(name, *pair) for name, own in intervals.items() for pair in _find_overlaps(own)]
        if pairs:
            name, one, other = pairs[0]
            notes.append(
                f"{what} that overlap an earlier one of their kind: {len(pairs)}, such as "
                f"{one.onset_frame}-{one.offset_frame} and {other.onset_frame}-{other.offset_frame} in "
                f"{printable(name)}; each is counted."
            )
    return notes


def _find_overlaps(intervals: Sequence[Interval]) -> list[tuple[Interval, Interval]]:
    """Pairs that overlap in time, of one kind and face; each interval with at most one before it."""
    last: dict[tuple[str, int], Interval] = {}
    pairs = []
    for each in sorted(intervals, key=lambda each: (each.onset_frame, each.offset_frame)):
        key = (each.kind, each.face_id)
        if key in last and last[key].offset_frame >= each.onset_frame:
            pairs.append((last[key], each))
        if key not in last or last[key].offset_frame < each.offset_frame:
            last[key] = each
    return pairs


def _score_video(
    name: str,
    alarms: tuple[Interval, ...],
    labels: tuple[Interval, ...],
    labelled: Sequence[Interval],
    kinds: tuple[str, ...],
    iou: float,
    durations_s: Mapping[str, float] | None,
    subjects: Mapping[str, str] | None,
) -> VideoScores:
    matches = match_intervals(alarms, labels, iou=iou)
    return VideoScores(
        name=name,
        subject=subjects[name] if subjects else None,
        duration_s=durations_s[name] if durations_s else float("nan"),
        predicted=alarms,
        truth=labels,
        matches=matches,
        false_alarms=tuple(explain_false_alarms(alarms, labels, matches, labelled, iou=iou)),
        counts=_count(alarms, labels, matches, kinds),
    )


def _count(
    alarms: Sequence[Interval], labels: Sequence[Interval], matches: Sequence[Match], kinds: tuple[str, ...]
) -> dict[str, Counts]:
    counts = {}
    for kind in kinds:
        right = sum(labels[each.truth].kind == kind for each in matches)
        given = [sum(each.kind == kind for each in intervals) for intervals in (alarms, labels)]
        counts[kind] = Counts(right, given[0] - right, given[1] - right)
    return counts


def _count_all(alarms: Intervals, labels: Intervals, kinds: tuple[str, ...], iou: float) -> dict[str, Counts]:
    """Sums over all videos at another overlap, by kind and overall."""
    own = [_count(alarms[name], labels[name], match_intervals(alarms[name], labels[name], iou=iou), kinds)
           for name in alarms]  # fmt: skip
    by_kind = {kind: sum_counts(each[kind] for each in own) for kind in kinds}
    return {**by_kind, OVERALL: sum_counts(by_kind.values())}


def _score_kind(
    kind: str, kinds: tuple[str, ...], videos: Sequence[VideoScores], minutes: float, iou: float, draws: int
) -> KindScores:
    chosen = kinds if kind == OVERALL else (kind,)
    per_video = [sum_counts(each.counts[one] for one in chosen) for each in videos]
    people: dict[str, Counts] = {}
    for video, counts in zip(videos, per_video, strict=True):
        if video.subject is not None:
            people[video.subject] = people.get(video.subject, Counts()) + counts
    total = sum_counts(per_video)
    alarms, labels = (
        {each.name: [one for one in getattr(each, side) if one.kind in chosen] for each in videos}
        for side in ("predicted", "truth")
    )
    return KindScores(
        counts=total,
        f1_over_videos=bootstrap_f1(per_video, "videos", draws=draws),
        f1_over_people=bootstrap_f1(list(people.values()), "people", draws=draws),
        average_precision=compute_average_precision(alarms, labels, iou=iou),
        false_alarms_per_minute=total.false_positives / minutes,
    )
