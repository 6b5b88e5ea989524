"""Error analysis: which classes are confused, in which clips, and which kinds of clips are hard.

Source: the discussion in section 6 of the paper, which lists confusions and compares right and wrong clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import Interval, people_intervals, wilson_interval
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.results import ProtocolResult

GROUPS = 5  # groups of clips with similar amplitude or duration
MIN_CLIPS = 2 * GROUPS  # with fewer, no groups are formed


@dataclass(frozen=True)
class ConfusedPair:
    """A class that was mistaken for another one."""

    true: str
    given: str
    count: int
    share: float  # of the items of the true class
    clips: tuple[str, ...]  # each once, the most confident error first


@dataclass(frozen=True)
class ClipGroup:
    """Clips with similar values of one property, and the accuracy on them."""

    median: float  # of the property
    accuracy: float
    interval: Interval  # over people


def find_confused_pairs(result: ProtocolResult) -> list[ConfusedPair]:
    """Lists the confused pairs of classes, the most frequent first.

    Args:
        result: With probabilities and clip ids.

    Raises:
        PredictionsError: The result has no probabilities or no clip ids.
    """
    if result.probabilities is None or not result.clip_id:
        raise PredictionsError(
            f"{result.protocol} lacks {'clip ids' if result.probabilities is not None else 'probabilities'}; "
            "expected both, to list confused clips by confidence."
        )
    pairs = []
    for true in range(len(result.class_names)):
        of_class = result.true == true
        for given in range(len(result.class_names)):
            rows = np.flatnonzero(of_class & (result.predicted == given))
            if true == given or not len(rows):
                continue
            order = rows[np.argsort(-result.probabilities[rows, given], kind="stable")]
            pairs.append(
                ConfusedPair(
                    true=result.class_names[true],
                    given=result.class_names[given],
                    count=len(rows),
                    share=len(rows) / int(of_class.sum()),
                    clips=tuple(dict.fromkeys(result.clip_id[row] for row in order)),
                )
            )
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share, pair.true, pair.given))


def group_clips(result: ProtocolResult, values: Mapping[str, float]) -> list[ClipGroup]:
    """Accuracy in groups of equally many clips, ordered by a property of the clips.

    Args:
        result: With clip ids.
        values: The property by clip id; clips without a value are left out.

    Returns:
        At most `GROUPS` groups, fewer where values repeat; none if fewer than `MIN_CLIPS` clips have a value or all
        values are equal.
    """
    rows = [row for row, clip in enumerate(result.clip_id) if clip in values]
    value = np.array([values[result.clip_id[row]] for row in rows])
    if len({result.clip_id[row] for row in rows}) < MIN_CLIPS or len(np.unique(value)) < 2:
        return []
    right = result.correct[rows]
    people = np.array([result.people[row] for row in rows]) if result.people else None
    edges = np.unique(np.quantile(value, np.linspace(0, 1, GROUPS + 1)))
    number = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, max(0, len(edges) - 2))
    groups = []
    for each in np.unique(number):
        mine = number == each
        clips = len({result.clip_id[row] for row, chosen in zip(rows, mine, strict=True) if chosen})
        accuracy = float(right[mine].mean())
        interval = _bound(right[mine], None if people is None else people[mine], clips)
        groups.append(ClipGroup(float(np.median(value[mine])), accuracy, interval))
    return groups


def _bound(right: Bool[np.ndarray, "n"], people: np.ndarray | None, clips: int) -> Interval:
    """Interval of the share of right items: over people, or over clips if people are unknown or there is only one."""
    if people is None or len(np.unique(people)) < 2:
        return wilson_interval(float(right.mean()), clips)
    names, index = np.unique(people, return_inverse=True)
    wrong = (~right).astype(int)
    counts = metrics.confusion_by_group(np.zeros_like(wrong), wrong, index, 2, num_groups=len(names))
    return people_intervals(counts, {"accuracy": metrics.accuracy}, num_clips=clips)["accuracy"]
