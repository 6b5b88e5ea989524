"""Bootstrap interval of F1 over videos or people."""

from collections.abc import Sequence

import numpy as np

from mer_jax.evaluation.intervals import MIN_PEOPLE, TOO_FEW_PEOPLE
from mer_jax.evaluation.intervals import Interval as ConfidenceInterval
from mer_jax.spotting.counts import Counts

DRAWS = 2000
SEED = 0  # the same files always get the same interval
# Below this number the percentile bootstrap is too narrow: that of an accuracy over 16 people holds the true value 90 %
# of the time on average, 84 % at worst, by benchmarks/coverage.py.
MIN_UNITS = 20
FEW_UNITS = "too narrow: fewer than 20 of them"
NO_SPREAD = "of no width: all draws have the same F1"


def bootstrap_f1(
    counts: Sequence[Counts], unit: str, *, level: float = 0.95, draws: int = DRAWS
) -> ConfidenceInterval | None:
    """Percentile bootstrap of the F1 of summed counts.

    Videos, or people, are drawn with replacement, each with all of its predictions and labels. Draws without any
    prediction or label have no F1 and are left out.

    Args:
        counts: Of each video or person, those without predictions and labels too.
        unit: What each of them is, `videos` or `people`.
        level: Confidence level, between 0 and 1.
        draws: Number of draws.

    Returns:
        The interval; None with fewer than two units, or without a prediction or label.

    Source: Efron, Ann. Statist. 7 (1979).
    """
    table = np.array([(each.true_positives, each.false_positives, each.false_negatives) for each in counts])
    if len(table) < 2 or not table.any():
        return None
    generator = np.random.default_rng(SEED)
    times_drawn = generator.multinomial(len(table), np.full(len(table), 1 / len(table)), size=draws)
    right, false, missed = (times_drawn @ table).T
    total = 2 * right + false + missed
    scores = 2 * right[total > 0] / total[total > 0]
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    note = FEW_UNITS if len(table) < MIN_UNITS else ""
    if unit == "people" and len(table) < MIN_PEOPLE:
        note = TOO_FEW_PEOPLE
    if low == high:
        note = NO_SPREAD
    return ConfidenceInterval(
        float(low), float(high), level, f"percentile bootstrap over {len(table)} {unit}, {draws} draws", note
    )
