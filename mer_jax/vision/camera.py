"""A camera as a source of frames: what it shows for a while, with the times at which it showed it."""

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from mer_jax.errors import DecodeError
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.libraries import cv2, quiet_opencv


class CameraFrames(ArrayFrames):
    """Frames that a camera took, held in memory.

    Args:
        array: RGB `[t h w 3]`, uint8.
        timestamps_s: When each frame arrived, in seconds since the first.
        name: What messages call it.
        asked_s: For how long it was to be recorded, seconds.
    """

    def __init__(self, array: np.ndarray, timestamps_s: Float64[np.ndarray, "t"], name: str, asked_s: float) -> None:
        super().__init__(array, name)
        self._timestamps_s = timestamps_s
        self._asked_s = asked_s

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"]:
        """When each frame arrived, by the clock of this machine, in seconds since the first."""
        return self._timestamps_s

    @property
    def asked_s(self) -> float:
        """For how long it was to be recorded, seconds; it stopped by itself if the last frame came earlier."""
        return self._asked_s


def record_camera(
    device: int | str = 0, duration_s: float = 3.0, *, clock: Callable[[], float] = time.monotonic
) -> CameraFrames:
    """Records a camera, or a network stream, until the time is over or the frames end.

    A camera in the dark lowers its frame rate while it says nothing of it, so each frame has the time at which it
    arrived. Ten seconds of 640x480 at 30 frames a second take 280 MB.

    Args:
        device: Number of the camera, 0 is the first; or the address of a stream.
        duration_s: How long, seconds.
        clock: Seconds that only grow.

    Raises:
        DecodeError: There is no such camera, it gives no frame, it is in use by another program, or its pictures change
            in size.
    """
    name = f"camera {device}"
    with quiet_opencv():
        capture = cv2.VideoCapture(device)
    try:
        if not capture.isOpened() and isinstance(device, str):
            raise DecodeError(f"{name} cannot be opened: no video comes from this address")
        if not capture.isOpened():
            raise DecodeError(
                f"{name} cannot be opened: there is none, another program uses it, or you may not "
                "(on Linux cameras are /dev/video0 and so on, for members of the group video)"
            )
        images, times = [], []
        while not times or times[-1] - times[0] < duration_s:
            arrived, image = capture.read()
            if not arrived:
                break
            if images and image.shape != images[0].shape:
                before, now = (f"{each.shape[1]}x{each.shape[0]}" for each in (images[0], image))
                raise DecodeError(
                    f"{name} changes from {before} to {now} pixels at frame {len(images)}; record it again"
                )
            times.append(clock())
            images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
    if not images:
        raise DecodeError(f"{name} opens but gives no frame; is it in use by another program?")
    return CameraFrames(np.stack(images), np.asarray(times) - times[0], name, duration_s)
