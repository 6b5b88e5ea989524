"""Spot, then recognise: the emotions of the expressions that were found, and what both steps are worth together."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from mer_jax.errors import IntervalsError
from mer_jax.evaluation import metrics
from mer_jax.spotting.measure import OVERALL, SpottingScores
from mer_jax.system.files import natural_key, printable

NO_ANSWER = "no answer"
Labels = Mapping[str, Sequence[str | None]]  # by video, beside the intervals that are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecognitionScores:
    """Scores of the emotions of true positives.

    Attributes:
        class_names: Emotions of the true positives, in the labels or the predictions.
        confusion: Labels in rows, predictions in columns, in the order of `class_names`, then one for `NO_ANSWER`.
        num_unlabelled: True positives whose label has no emotion; they are left out.
        precision: Macro precision: the mean over `class_names`; 0 for an emotion that is never predicted.
        recall: Macro recall, which is UAR: the mean over the emotions in the labels.
        uf1: Mean F1 over the emotions in the labels.
        f1_spot: F1 of spotting.
    """

    class_names: tuple[str, ...]
    confusion: Int[np.ndarray, "k k"]
    num_unlabelled: int
    precision: float
    recall: float
    uf1: float
    f1_spot: float

    @property
    def f1(self) -> float:
        """Harmonic mean of macro precision and macro recall; it is not the mean of the F1 scores."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def uar(self) -> float:
        """Mean recall over the emotions in the labels."""
        return self.recall

    @property
    def strs(self) -> float:
        """Spot-then-recognise score: F1 of spotting times F1 of recognition."""
        return self.f1_spot * self.f1


def score_recognition(
    scores: SpottingScores, predicted: Labels, truth: Labels, *, kind: str = OVERALL
) -> RecognitionScores | None:
    """Scores the emotions of the true positives.

    A true positive without a predicted emotion is one that its class loses: it lowers the recall.

    Args:
        scores: From `score_spotting`.
        predicted: Emotions of the predictions that `scores` counts, in the order in which they were given; None where
            the model abstained. Other movements, such as blinks, are left out.
        truth: Emotions of the labels, likewise; None where there is none.
        kind: A kind, or `OVERALL`.

    Returns:
        The scores; None if no true positive has an emotion in its label, or there is no predicted emotion at all.

    Raises:
        IntervalsError: Another number of emotions than intervals in a video.

    Source: Liong, See and Chan, Signal Processing: Image Communication 110 (2023), for the product of both F1 scores.
    Differs: their script prints macro precision as UAR; see docs/spotting.md.
    """
    pairs, unlabelled = pair_labels(scores, predicted, truth, kind=kind)
    if not pairs or all(answer is None for _, answer in pairs):
        return None
    names = sorted({name for pair in pairs for name in pair if name is not None}, key=natural_key)
    number = {name: index for index, name in enumerate([*names, NO_ANSWER])}
    rows = np.array([(number[true], number[answer or NO_ANSWER]) for true, answer in pairs])
    confusion = metrics.confusion_matrix(rows[:, 0], rows[:, 1], len(number))
    return RecognitionScores(
        class_names=tuple(names),
        confusion=confusion,
        num_unlabelled=unlabelled,
        precision=float(np.nan_to_num(metrics.precision(confusion)[:-1]).mean()),
        recall=float(metrics.uar(confusion)),
        uf1=float(metrics.uf1(confusion)),
        f1_spot=scores[kind].counts.f1,
    )


def pair_labels(
    scores: SpottingScores, predicted: Labels, truth: Labels, *, kind: str = OVERALL
) -> tuple[list[tuple[str, str | None]], int]:
    """Returns label and answer of each true positive, and the number of those whose label has no emotion."""
    pairs, unlabelled = [], 0
    for video in scores.videos:
        answers, emotions = predicted.get(video.name, ()), truth.get(video.name, ())
        for what, given, intervals in (("predictions", answers, video.predicted), ("labels", emotions, video.truth)):
            if len(given) != len(intervals):
                raise IntervalsError(
                    f"video {printable(video.name)!r} has {len(given)} emotions of {len(intervals)} {what}; expected "
                    "one for each that is scored, or None"
                )
        for match in video.matches:
            if kind not in (OVERALL, video.truth[match.truth].kind):
                continue
            emotion = emotions[match.truth]
            if emotion is None:
                unlabelled += 1
            else:
                pairs.append((emotion, answers[match.predicted]))
    return pairs, unlabelled
