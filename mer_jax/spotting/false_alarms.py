"""What is labelled where a false alarm is: the first thing to look at when a spotter is improved."""

from collections.abc import Iterable, Sequence

from mer_jax.spotting.interval import OTHER_MOVEMENTS, Interval
from mer_jax.spotting.matching import Match, compute_ious

OTHER_KIND = "expression of the other kind"  # its overlap would do
BESIDE_EXPRESSION = "expression, overlap too small or found already"
NOTHING = "nothing labelled"


def explain_false_alarms(
    predicted: Sequence[Interval],
    truth: Sequence[Interval],
    matches: Iterable[Match],
    labelled: Sequence[Interval],
    *,
    iou: float,
) -> list[str]:
    """Says of each false alarm in a video what is labelled there.

    Args:
        predicted: The predictions that are scored.
        truth: The labels that are scored.
        matches: Which found which.
        labelled: All labels of the video, other movements too.
        iou: The least overlap of a hit.

    Returns:
        For each prediction without a label, in their order: `OTHER_KIND`; `BESIDE_EXPRESSION`; the other movement that
        overlaps it most; or `NOTHING`.
    """  # fmt: skip
    hits = {each.predicted for each in matches}
    alarms = [each for index, each in enumerate(predicted) if index not in hits]
    others = [each for each in labelled if each.kind in OTHER_MOVEMENTS]
    expressions, movements = compute_ious(alarms, truth), compute_ious(alarms, others)
    reasons = []
    for row, alarm in enumerate(alarms):
        wrong_kind = [
            overlap >= iou and each.kind != alarm.kind for overlap, each in zip(expressions[row], truth, strict=True)
        ]
        if any(wrong_kind):
            reasons.append(OTHER_KIND)
        elif expressions[row].any():
            reasons.append(BESIDE_EXPRESSION)
        elif movements[row].any():
            reasons.append(others[int(movements[row].argmax())].kind)
        else:
            reasons.append(NOTHING)
    return reasons
