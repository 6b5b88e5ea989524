"""Intervals of a video in which something is to be classified: spotted, or given by the user."""

import dataclasses
import re

import numpy as np
from jaxtyping import Float64

from mer_jax.errors import ConfigError

WHOLE = "clip"  # kind of a file that is one clip from onset to offset
GIVEN = "given"  # kind of an interval that the user names
MICRO = "micro"  # an expression of at most MICRO_LONGEST_S
MACRO = "macro"  # a longer expression
BLINK = "blink"
GAZE = "gaze"  # the eyes look elsewhere
SPEECH = "speech"
TURN = "turn"  # the head turns, nods or leans
EXPRESSIONS = (MICRO, MACRO)  # kinds that are scored and classified
OTHER_MOVEMENTS = (BLINK, GAZE, SPEECH, TURN)  # kinds that are reported and not classified

MICRO_LONGEST_S = 0.5  # from onset to offset, after the field's convention

_FORM = re.compile(r"(\d+)-(\d+)|([\d.]+)s-([\d.]+)s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A stretch of frames of one face.

    Attributes:
        onset_frame: First frame, 0-based.
        offset_frame: Last frame, 0-based, included.
        apex_frame: Frame of the largest movement; None if unknown.
        face_id: Number of the face, from 0.
        kind: `clip`, `given`, or what a spotter says: one of `EXPRESSIONS` or `OTHER_MOVEMENTS`.
        score: Of the spotter; None without one.
    """

    onset_frame: int
    offset_frame: int
    apex_frame: int | None = None
    face_id: int = 0
    kind: str = GIVEN
    score: float | None = None


def parse_interval(text: str, times_s: Float64[np.ndarray, "t"]) -> Interval:
    """Reads an interval as a user writes it: `120-145` in frames, 0-based, or `4.0s-4.9s` in seconds.

    Args:
        text: The interval; both ends are included.
        times_s: Time of each frame of the video.

    Raises:
        ConfigError: Another form, or frames that the video does not have.

    Example:
        >>> parse_interval("0.1s-0.35s", np.arange(10) / 10).offset_frame
        3
    """
    found = _FORM.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        if found[1]:
            onset, offset = int(found[1]), int(found[2])
        else:
            start_s, end_s = float(found[3]), float(found[4])
            onset = int(np.searchsorted(times_s, start_s - 1e-9))
            offset = int(np.searchsorted(times_s, end_s + 1e-9)) - 1
    except ValueError as error:
        raise ConfigError(
            f"got --interval {text}; expected frames, such as 120-145, or seconds, such as 4.0s-4.9s"
        ) from error
    if not 0 <= onset < offset < len(times_s):
        raise ConfigError(
            f"got --interval {text}, frames {onset} to {offset}; expected an onset before an offset, both from 0 to "
            f"{len(times_s) - 1} ({times_s[-1]:.2f} s)"
        )
    return Interval(onset_frame=onset, offset_frame=offset)
