"""Records a camera or a network stream, with the arrival time of each frame."""

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from mer_jax.errors import DecodeError
from mer_jax.system.addresses import hide_password
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.libraries import cv2, quiet_opencv


class CameraFrames(ArrayFrames):
    """Frames recorded from a camera, in memory.

    Args:
        array: RGB `[t h w 3]`, uint8.
        timestamps_s: Arrival time of each frame in seconds since the first.
        name: Name for messages.
        stated_duration_s: Requested duration, seconds.
    """

    def __init__(
        self, array: np.ndarray, timestamps_s: Float64[np.ndarray, "t"], name: str, stated_duration_s: float
    ) -> None:
        super().__init__(array, name)
        self._timestamps_s = timestamps_s
        self._stated_duration_s = stated_duration_s

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"]:
        """Arrival time of each frame by this machine's clock, in seconds since the first."""
        return self._timestamps_s

    @property
    def stated_duration_s(self) -> float:
        """Requested duration, seconds; the camera stopped early if the last frame arrived before."""
        return self._stated_duration_s


def record_camera(
    device: int | str = 0, duration_s: float = 3.0, *, clock: Callable[[], float] = time.monotonic
) -> CameraFrames:
    """Records a camera or a network stream for a given time, or until it ends.

    Cameras lower their frame rate in the dark without reporting it, so each frame gets its arrival time. Ten seconds of
    640x480 at 30 frames/s take 280 MB.

    Args:
        device: Number of the camera, 0 is the first, or the address of a stream.
        duration_s: Duration, seconds.
        clock: Monotonic clock, seconds.

    Raises:
        DecodeError: There is no such camera, it delivers no frame, another program uses it, or the size of its frames
            changes.
    """
    name = f"camera {hide_password(str(device))}"
    with quiet_opencv():
        capture = cv2.VideoCapture(device)
    try:
        if not capture.isOpened() and isinstance(device, str):
            raise DecodeError(f"{name} cannot be opened: no video comes from this address")
        if not capture.isOpened():
            raise DecodeError(
                f"{name} cannot be opened: it does not exist, another program uses it, or you lack permission "
                "(on Linux: /dev/video0 and so on, for members of the group video)"
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
        raise DecodeError(f"{name} opens but delivers no frame; is another program using it?")
    return CameraFrames(np.stack(images), np.asarray(times) - times[0], name, duration_s)
