"""Smooth curves over time, of which movements are made."""

import numpy as np


def ease(progress: np.ndarray) -> np.ndarray:
    """Smoothstep: 0 up to 0, 1 from 1, and a smooth rise in between."""
    clipped = np.clip(progress, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def wander(rng: np.random.Generator, seconds: np.ndarray, bandwidth_hz: float) -> np.ndarray:
    """A smooth random path of unit variance."""
    at = seconds * bandwidth_hz * 2 + rng.uniform(0, 1)
    knots = rng.standard_normal(int(at[-1]) + 2)
    before = at.astype(int)
    between = ease(at - before)
    return knots[before] * (1 - between) + knots[before + 1] * between
