"""Intervals in tiers: annotation programs take no two of one tier that overlap."""

from mer_jax.prediction.video import PredictedInterval, PredictedVideo

NOTHING = "face 0"  # tier of a video without intervals


def divide_into_tiers(video: PredictedVideo) -> dict[str, list[PredictedInterval]]:
    """Returns the intervals by tier, one tier for each face and kind; those that overlap get another tier.

    Args:
        video: With or without intervals; without, one empty tier is returned.
    """
    tiers: dict[str, list[PredictedInterval]] = {}
    for each in sorted(video.intervals, key=lambda each: each.onset_s):
        title, number = f"face {each.interval.face_id} {each.interval.kind}", 1
        name = title
        while name in tiers and tiers[name][-1].end_s > each.onset_s + 1e-9:
            number += 1
            name = f"{title} {number}"
        tiers.setdefault(name, []).append(each)
    return tiers or {NOTHING: []}
