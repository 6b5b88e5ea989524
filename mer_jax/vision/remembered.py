"""A source that keeps what was read of it lately: a video can only be read forwards without starting again."""

from collections import OrderedDict
from typing import SupportsIndex

from mer_jax.vision.frames import Frame, FrameSource, GrayFrame, WrappedFrames
from mer_jax.vision.libraries import cv2

# Going back costs decoding from the first frame on, so that large frames are worth more memory. Preparation returns to
# the frames that it samples, some dozens of a clip.
_USUAL_BYTES = 2**28  # 291 frames of 640x480, 43 of 1920x1080
_FEWEST_FRAMES = 64
_MOST_BYTES = 2**30  # 172 frames of 1920x1080, 43 of 3840x2160


class RememberedFrames(WrappedFrames):
    """Frames of another source; those that were read last are kept.

    Args:
        source: The other source.
        usual_bytes: Of the frames that are kept, unless these are fewer than `fewest_frames`.
        fewest_frames: So many are kept whatever their size, up to `most_bytes`.
        most_bytes: Of the frames that are kept in any case.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        usual_bytes: int = _USUAL_BYTES,
        fewest_frames: int = _FEWEST_FRAMES,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        super().__init__(source)
        self._usual_bytes, self._fewest_frames, self._most_bytes = usual_bytes, fewest_frames, most_bytes
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, index: SupportsIndex) -> Frame:
        position = self._position(index)
        if position in self._kept:
            self._kept.move_to_end(position)
            return self._kept[position]
        frame = self._source[position]
        self._kept[position] = frame
        self._bytes += frame.nbytes
        while len(self._kept) > 1 and self._is_full():
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return frame

    def _is_full(self) -> bool:
        is_many = len(self._kept) > self._fewest_frames
        return self._bytes > (self._usual_bytes if is_many else self._most_bytes)

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma, computed from its colours."""
        return cv2.cvtColor(self[index], cv2.COLOR_RGB2GRAY)
