"""Array aliases and the letters that name axes.

Axes, always lower case and indexed from the right:

    b clips (`*b`: any leading axes)   t frames   h height   w width   c channels
    d features   k classes   f folds   n samples

A clip is `"*b t h w c"`; a whole face is 128 by 128 pixels, and each half of it is
64 high and 128 wide (the paper writes 128x64, width first).
"""

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

FACE_SIZE = 128  # height and width of a whole face crop, pixels
HALF_HEIGHT = 64  # height of the upper and of the lower half, pixels

# A half of a clip in memory (NumPy, 8-bit gray) and on the device (float).
HalfClipsU8 = UInt8[np.ndarray, "n t 64 128 1"]
FaceClipsU8 = UInt8[np.ndarray, "n t 128 128"]
Clip = Float[Array, "*b t h w c"]
Logits = Float[Array, "*b k"]
Labels = Int[Array, "*b"]
Weights = Float[Array, "*b"]
Mask = Bool[Array, "*b"]
PRNGKey = Key[Array, ""] | jax.Array
