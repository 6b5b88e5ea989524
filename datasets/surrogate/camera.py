"""The camera: exposure, noise that grows with the signal, and the encoding of frames."""

import copy

import numpy as np
from jaxtyping import UInt8

from datasets.surrogate.drawing import Image, blur
from mer_jax.vision.libraries import cv2

_STRIP = 16  # rows worked on at a time: what stays in the processor's cache is several times faster
_SHIFTS = 257  # the noise of a frame is a window of one larger pattern at a random place


class Camera:
    """Turns rendered light into 8-bit frames.

    Args:
        shape: height and width of the frames.
        noise: standard deviation at gray level 128, in gray levels.
    """

    def __init__(self, shape: tuple[int, int], noise: float):
        height, width = shape
        rng = np.random.default_rng(0)  # the pattern is the sensor's: the same in every corpus
        pattern_shape = (height + _SHIFTS, width + _SHIFTS, 3)
        self._pattern = rng.standard_normal(pattern_shape, np.float32) * np.float32(noise)
        self._gain, self._blur = np.float32(1), 0.0
        self._light, self._noise = (np.empty((_STRIP, width, 3), np.float32) for _ in range(2))

    def with_noise(self, gain: float, *, blur: float = 0.0) -> "Camera":
        """The same camera with another amplification of its noise, and a lens of so many pixels of blur (sigma)."""
        other = copy.copy(self)
        other._gain, other._blur = np.float32(gain), blur
        return other

    def expose(self, image: Image, exposure: float, rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
        """Takes a picture.

        Args:
            image: rendered light, 0 to 255.
            exposure: factor on it.
            rng: of this frame alone.
        """
        height, width = image.shape[:2]
        row, column = rng.integers(0, _SHIFTS, 2)
        pattern = self._pattern[row : row + height, column : column + width]
        if rng.random() < 0.5:
            pattern = pattern[:, ::-1]
        if self._blur > 0.2:
            image = blur(image, self._blur)
        frame = np.empty(image.shape, np.uint8)
        for top in range(0, height, _STRIP):
            rows = slice(top, min(top + _STRIP, height))
            light, noise = (buffer[: rows.stop - top] for buffer in (self._light, self._noise))
            np.multiply(image[rows], np.float32(exposure), out=light)
            # Half of the deviation is read-out, half photons, whose deviation goes with the root of the light.
            np.multiply(light, np.float32(0.25 / 128), out=noise)
            np.sqrt(noise, out=noise)
            np.add(noise, np.float32(0.5), out=noise)
            np.multiply(noise, pattern[rows], out=noise)
            if self._gain != 1:
                np.multiply(noise, self._gain, out=noise)
            np.add(light, noise, out=light)
            np.clip(light, 0, 255, out=light)
            frame[rows] = light
        return frame


def encode_frame(frame: UInt8[np.ndarray, "h w 3"], jpeg_quality: int | None, *, is_gray: bool = False) -> bytes:
    """Encodes an RGB frame as JPEG, or as BMP where no quality is given; with `is_gray`, as one channel."""
    options = [] if jpeg_quality is None else [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    pixels = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY if is_gray else cv2.COLOR_RGB2BGR)
    return cv2.imencode(".bmp" if jpeg_quality is None else ".jpg", pixels, options)[1].tobytes()
