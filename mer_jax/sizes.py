"""Sizes of network inputs, shared by vision (without JAX) and models."""

FACE_SIZE = 128  # height and width of a whole face crop, pixels
HALF_HEIGHT = 64  # height of the upper and of the lower half, pixels; the paper writes 128x64, width first
MOTION_SIZE = 28  # height and width of a picture of motion features, pixels
MOTION_ZERO = 128  # stored value, 0 to 255, of zero motion
PATCH_SIZE = 7  # height and width of a patch around a landmark, pixels of the face

# Landmarks with a patch, as indices of the 68 iBUG points.
PATCH_POINTS = {
    "brows_mouth": (*range(17, 27), *range(48, 68)),  # 10 of the brows, 20 of the mouth
    "inner": tuple(range(17, 68)),  # all but the outline of the face
}
