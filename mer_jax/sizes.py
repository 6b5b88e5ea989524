"""Sizes of network inputs, shared by vision (without JAX) and models."""

FACE_SIZE = 128  # height and width of a whole face crop, pixels
HALF_HEIGHT = 64  # height of the upper and of the lower half, pixels; the paper writes 128x64, width first
MOTION_SIZE = 28  # height and width of a picture of motion features, pixels
MOTION_ZERO = 128  # stored value, 0 to 255, of zero motion
