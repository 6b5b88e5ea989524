"""Faces for a network in C++: gathered, augmented, normalised and cut into parts in one call.

What `mer_jax.data` computes in pure JAX, to rounding, in a third of the time; once `conv_pool.load` has found the
library. float32 on a CPU.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from mer_jax.native.conv_pool import target_name

COLUMNS = 16  # the width of a face is a multiple of this


def load_faces(
    pictures: UInt8[Array, "n t h w"],
    clip: Int[Array, " b"],
    is_changed: Bool[Array, " b"],
    position: Float[Array, "b 2 3"],
    gain: Float[Array, " b"],
    offset: Float[Array, " b"],
    *,
    parts: int,
) -> tuple[Float[Array, "b t h2 w"], ...]:
    """Gathers clips, applies `mer_jax.data.augment.Change`, and normalises differences to the onset frame.

    Args:
        pictures: A corpus of faces, whose width is a multiple of `COLUMNS`.
        clip: Which clips.
        is_changed: Which of them are augmented; the others are taken as they are.
        position: See `Change`; so are the next two.
        gain: Of the contrast.
        offset: Of the brightness.
        parts: Number of parts of equal height, 1 or more.

    Returns:
        The parts, from top to bottom, as `mer_jax.data.views.normalize_difference` scales them.
    """
    _, t, h, w = pictures.shape
    shape = jax.ShapeDtypeStruct((clip.shape[0], t, h // parts, w), jnp.float32)
    call = jax.ffi.ffi_call(target_name("load_faces"), (shape,) * parts, vmap_method="sequential")
    return tuple(call(pictures, clip.astype(jnp.int32), is_changed, position, gain, offset))
