import cv2
import numpy as np

from mer_jax.vision.magnification import magnify_motion

ROWS, COLUMNS = np.mgrid[0:128, 0:128].astype(np.float32)


def swaying_clip(amplitude_px: float) -> tuple[np.ndarray, np.ndarray]:
    """A soft texture that sways sideways; the shift of each frame."""
    noise = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 40, 215, cv2.NORM_MINMAX)
    shifts = amplitude_px * np.sin(np.linspace(0, np.pi, 18)) ** 2
    clip = [
        cv2.remap(picture, COLUMNS - x, ROWS, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        for x in shifts.astype(np.float32)
    ]
    return np.stack(clip).astype(np.float32), shifts


def measured_shift(first: np.ndarray, second: np.ndarray) -> float:
    first, second = (np.clip(each, 0, 255).astype(np.uint8) for each in (first, second))
    flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 21, 5, 7, 1.5, 0)
    return float(np.median(flow[20:-20, 20:-20, 0]))


def test_a_small_movement_becomes_larger():
    clip, shifts = swaying_clip(0.3)
    peak = int(shifts.argmax())
    before = measured_shift(clip[0], clip[peak])
    after = measured_shift(clip[0], magnify_motion(clip, 8.0)[peak])
    assert 0.2 < before < 0.4
    assert 2.5 * before < after < 9 * before


def test_a_still_clip_and_the_factor_zero_change_nothing():
    clip, _ = swaying_clip(0.3)
    still = np.repeat(clip[:1], 6, axis=0)
    np.testing.assert_allclose(magnify_motion(still, 20.0), still, atol=1e-3)
    np.testing.assert_array_equal(magnify_motion(clip, 0.0), clip)
    np.testing.assert_array_equal(magnify_motion(clip, 20.0)[0], clip[0])


def test_fine_detail_is_magnified_less():
    """The bound on alpha by wavelength: what is finer would break up."""
    flicker = np.full((8, 128, 128), 128, np.float32)
    for wavelength, low, high in ((4, 0.0, 0.4), (32, 0.6, 4.0)):
        wave = 4 * np.sin(2 * np.pi * COLUMNS / wavelength)
        clip = flicker + np.linspace(0, 1, 8, dtype=np.float32)[:, None, None] * wave
        added = magnify_motion(clip, 10.0)[-1] - clip[-1]
        gain = (added * wave).sum() / (wave * wave).sum() / 10 / 0.45  # .45: about what the band in time lets through
        assert low <= gain <= high
