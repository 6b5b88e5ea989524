"""A window that shows a live picture; only where OpenCV has windows and there is a display."""

import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from mer_jax.errors import ConfigError
from mer_jax.vision.frames import Frame
from mer_jax.vision.libraries import cv2

_TITLE = "mer live"
_STRIP_PX = 66  # below the picture, for captions
_LINE_PX = 20
_INK, _BOX, _MARK = (31, 41, 55), (178, 114, 0), (0, 94, 213)  # BGR
_END_KEYS = (27, ord("q"))  # Esc
_PROBE_S = 30
# In a process of its own: without a display that answers, Qt ends the whole process.
_PROBE = "import cv2; cv2.namedWindow('mer live'); cv2.waitKey(1)"

Box = tuple[float, float, float, float]


class LiveWindow:
    """The window; a context manager. Esc, q or its close button end it.

    Raises:
        ConfigError: There is no display, or this OpenCV has no windows.
    """

    def __init__(self) -> None:
        advice = "run on a desktop, or leave out --window"
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ConfigError(f"got --window, but there is no display; {advice}")
        try:
            probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_S)
            can_open = probe.returncode == 0
        except subprocess.TimeoutExpired:
            can_open = False
        if not can_open:
            raise ConfigError(
                f"got --window, but OpenCV cannot open one: the display does not answer, or OpenCV was built "
                f"without windows (opencv-*-headless); {advice}"
            )
        cv2.namedWindow(_TITLE, cv2.WINDOW_AUTOSIZE)

    def show(self, frame: Frame, boxes: Sequence[tuple[str, Box]], lines: Sequence[str]) -> bool:
        """Shows a frame.

        Args:
            frame: RGB.
            boxes: Name and left, top, right, bottom of each face, pixels of the frame.
            lines: At most three captions.

        Returns:
            Whether the window is still open.
        """
        cv2.imshow(_TITLE, draw_live(frame, boxes, lines))
        key = cv2.waitKey(1) & 0xFF
        return key not in _END_KEYS and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) > 0

    def close(self) -> None:
        """Closes the window."""
        cv2.destroyAllWindows()

    def __enter__(self) -> "LiveWindow":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def draw_live(frame: Frame, boxes: Sequence[tuple[str, Box]], lines: Sequence[str]) -> UInt8[np.ndarray, "rows w 3"]:
    """Draws boxes into a copy of a frame, and captions below it.

    Args:
        frame: RGB.
        boxes: As in `LiveWindow.show`.
        lines: As in `LiveWindow.show`.

    Returns:
        The picture in BGR, 66 rows higher.
    """
    height, width = frame.shape[:2]
    picture = np.full((height + _STRIP_PX, width, 3), 255, np.uint8)
    picture[:height] = frame[..., ::-1]
    for name, box in boxes:
        left, top, right, bottom = map(round, box)
        cv2.rectangle(picture, (left, top), (right, bottom), _BOX, 1)
        cv2.putText(picture, name, (left, max(12, top - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _BOX, 1, cv2.LINE_AA)
    for number, line in enumerate(lines):
        text = line.encode("ascii", "replace").decode()  # OpenCV's fonts have no other characters
        place, colour = (6, height + _LINE_PX * (number + 1)), _MARK if number else _INK
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return picture
