"""SMIC: spontaneous micro-expressions of 16 people at 100 frames per second."""
