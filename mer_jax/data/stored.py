"""Kinds of pictures that `Clips` hold: one table, NumPy only.

    faces      uint8 [n, t, 128, 128]     whole gray faces; frame 0 is the onset
    motion     uint8 [n, 28, 28, 3]       horizontal flow, vertical flow and strain from onset to apex
    flow_maps  uint8 [n, s, s, 4]         the same and the magnitude of the flow, at a size s
    flow_set   uint8 [n, m, s, s, 3]      horizontal flow, vertical flow and strain from the onset to m frames
    patches    uint8 [n, p, 51]           patches of 7x7 around landmarks, row by row, then x and y in half pixels

In all but the faces, 128 stands for no motion, and 255 and 1 for the values in `mer_jax.data.motion`.
"""

from mer_jax.sizes import FACE_SIZE, MOTION_SIZE, PATCH_SIZE

Dims = tuple[int | str, ...]  # a letter where any number will do

# Shape of one clip. No two of them can be the same.
STORED: dict[str, Dims] = {
    "faces": ("t", FACE_SIZE, FACE_SIZE),
    "motion": (MOTION_SIZE, MOTION_SIZE, 3),
    "flow_maps": ("s", "s", 4),
    "flow_set": ("m", "s", "s", 3),
    "patches": ("p", PATCH_SIZE**2 + 2),
}


def find_kind(shape: tuple[int, ...]) -> str | None:
    """Returns the kind of the pictures of one clip by their shape; None for any other shape.

    Example:
        >>> find_kind((18, 128, 128)), find_kind((28, 28, 3)), find_kind((28, 27, 3))
        ('faces', 'motion', None)
    """
    return next((kind for kind, dims in STORED.items() if fits(shape, dims) is not None), None)


def fits(shape: tuple[int, ...], dims: Dims) -> dict[str, int] | None:
    """Matches a shape with a pattern.

    Returns:
        The number that each letter stands for; None if the shape does not fit.

    Example:
        >>> fits((18, 128, 128), ("t", 128, 128)), fits((3, 4), ("s", "s"))
        ({'t': 18}, None)
    """
    free: dict[str, int] = {}
    if len(shape) != len(dims):
        return None
    for size, expected in zip(shape, dims, strict=True):
        if size != (free.setdefault(expected, size) if isinstance(expected, str) else expected):
            return None
    return free


def describe_kinds() -> str:
    """Lists kinds and shapes, for messages."""
    kinds = [f"{kind} of shape (clips, {', '.join(map(str, dims))})" for kind, dims in STORED.items()]
    return f"{', '.join(kinds[:-1])} or {kinds[-1]}"
