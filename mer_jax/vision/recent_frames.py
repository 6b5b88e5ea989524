"""The last seconds of a stream, in memory and nowhere else."""

import collections
from collections.abc import Sequence
from typing import SupportsIndex

from mer_jax.vision.frames import Frame, FrameSource, GrayFrame
from mer_jax.vision.libraries import cv2

_MOST_BYTES = 2**29  # 582 frames of 640x480, 258 of 960x720


class RecentFrames:
    """Keeps the frames of the last seconds.

    Attributes:
        held_s: Seconds that fit into `most_bytes`, once frames had to make room before their time; None as long as all
            are kept as long as they should be.

    Args:
        kept_s: How long a frame is kept, seconds.
        most_bytes: Of all frames together; the oldest ones make room.
    """

    def __init__(self, kept_s: float, most_bytes: int = _MOST_BYTES) -> None:
        self._kept_s, self._most_bytes = kept_s, most_bytes
        self._frames: collections.deque[tuple[int, float, Frame]] = collections.deque()
        self._bytes = 0
        self.held_s: float | None = None

    def add(self, number: int, time_s: float, frame: Frame) -> None:
        """Adds the next frame.

        Args:
            number: Its number; increases, but not always by one.
            time_s: Its time.
            frame: RGB; not copied.
        """
        self._frames.append((number, time_s, frame))
        self._bytes += frame.nbytes
        while self._frames[0][1] < time_s - self._kept_s:
            self._forget_first()
        while self._bytes > self._most_bytes and len(self._frames) > 1:
            self._forget_first()
            self.held_s = time_s - self._frames[0][1]

    def _forget_first(self) -> None:
        self._bytes -= self._frames.popleft()[2].nbytes

    def cut(self, first: int, last: int) -> "NumberedFrames | None":
        """Returns the frames of an interval; None if its first one is not kept any more.

        Args:
            first: Number of its first frame.
            last: Number of its last frame, included.
        """
        part = [(number, frame) for number, _, frame in self._frames if first <= number <= last]
        if not part or part[0][0] != first:
            return None
        return NumberedFrames([number for number, _ in part], [frame for _, frame in part])


class NumberedFrames(FrameSource):
    """Some frames of a stream, which have numbers of their own there.

    Attributes:
        numbers: In the stream.

    Args:
        numbers: In the stream, increasing.
        frames: RGB.
    """

    def __init__(self, numbers: Sequence[int], frames: Sequence[Frame]) -> None:
        self.numbers, self._frames = tuple(numbers), tuple(frames)

    @property
    def name(self) -> str:
        """First and last number."""
        return f"frames {self.numbers[0]} to {self.numbers[-1]}"

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        return self._frames[self._position(index)]

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma."""
        return cv2.cvtColor(self[index], cv2.COLOR_RGB2GRAY)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the number of the frame in the stream."""
        return f"frame {self.numbers[self._position(index)]} of the stream"
