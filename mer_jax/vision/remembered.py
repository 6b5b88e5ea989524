"""A source that keeps what was read of it lately: a video can only be read forwards without starting again."""

from collections import OrderedDict
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float64

from mer_jax.vision.frames import Frame, FrameSource, GrayFrame
from mer_jax.vision.libraries import cv2

_MOST_BYTES = 2**28  # some 290 frames of 640x480: longer than any expression


class RememberedFrames(FrameSource):
    """Frames of another source, the last ones of which are kept.

    Args:
        source: The other source.
        most_bytes: Of the frames that are kept.
    """

    def __init__(self, source: FrameSource, most_bytes: int = _MOST_BYTES) -> None:
        self._source, self._most_bytes = source, most_bytes
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._bytes = 0

    @property
    def name(self) -> str:
        """The name of the source."""
        return self._source.name

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"] | None:
        """Times of the source."""
        return self._source.timestamps_s

    @property
    def stated_duration_s(self) -> float | None:
        """Claim of the source."""
        return self._source.stated_duration_s

    @property
    def corrections(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.corrections

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        position = self._position(index)
        if position not in self._kept:
            frame = self._source[position]
            self._kept[position] = frame
            self._bytes += frame.nbytes
            while self._bytes > self._most_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return self._kept[position]

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma, computed from its colours."""
        return cv2.cvtColor(self[index], cv2.COLOR_RGB2GRAY)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the name of the frame in the source."""
        return self._source.describe(index)
