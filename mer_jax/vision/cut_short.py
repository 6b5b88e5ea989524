"""Videos that end in the middle: their header promises more than can be decoded."""

import dataclasses

import numpy as np

from mer_jax.vision.frames import FrameSource

_FACTOR, _SLACK_S = 1.02, 0.1  # by which a header may exceed the frames


@dataclasses.dataclass(frozen=True)
class CutShort:
    """How much of a video is missing.

    Attributes:
        stated_s: Duration by the header, seconds.
        lasts_s: Duration of the frames that can be decoded, seconds.
    """

    stated_s: float
    lasts_s: float

    def __str__(self) -> str:
        return (
            f"cut short: the header says {self.stated_s:.2f} s, the frames that can be decoded last {self.lasts_s:.2f} "
            f"s, {self.stated_s - self.lasts_s:.2f} s are missing"
        )


def compare_durations(stated_s: float | None, lasts_s: float) -> CutShort | None:
    """Returns how much is missing; None if nothing is, or the header says nothing.

    Args:
        stated_s: Duration by the header, seconds; None if it has none.
        lasts_s: Duration of the frames that can be decoded, seconds.

    Example:
        >>> str(compare_durations(10.0, 4.0))
        'cut short: the header says 10.00 s, the frames that can be decoded last 4.00 s, 6.00 s are missing'
        >>> compare_durations(10.0, 9.9)
    """
    if stated_s is None or stated_s <= _FACTOR * lasts_s + _SLACK_S:
        return None
    return CutShort(stated_s, lasts_s)


def find_cut(frames: FrameSource) -> CutShort | None:
    """Returns how much of a video is missing; None if nothing is, or it has no times or states no duration."""
    times = frames.timestamps_s
    if times is None:
        return None
    frame_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return compare_durations(frames.stated_duration_s, float(times[-1]) + frame_s)
