"""The canonical face mesh, parsed out of MediaPipe's own `face_landmarker.task`.

The model bundle holds, in `geometry_pipeline_metadata_landmarks.binarypb`, the 468-vertex mesh
whose vertices are the landmarks that the model finds. Reading it there needs no further asset
and makes every rendered face carry its true landmarks. The mesh is mirror-symmetric; its
boundary is the face oval; eyes and mouth are no holes.
"""

import dataclasses
import functools
import struct
import zipfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from mer_jax.vision.face_model import find_face_model

# Vertex loops. "Right" is the subject's right, which is the left of the image. Both eye rings
# run from the outer corner along the lower lid to the inner corner (position 8) and back.
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LOWER_LID = slice(0, 9)  # of an eye ring, outer to inner corner
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
UPPER_LIP_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
# Upper and lower edge of a brow, outer to inner end.
RIGHT_BROW = ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55))
LEFT_BROW = ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285))
FOREHEAD_TOP, CHIN, NOSE_BRIDGE = 10, 152, 168

NUM_VERTICES = 468
_BUNDLE_MEMBER = "geometry_pipeline_metadata_landmarks.binarypb"


@dataclasses.dataclass(frozen=True, eq=False)
class FaceMesh:
    """The canonical mesh.

    Attributes:
        vertices: centimetres; x to the image's right, y up, z towards the camera.
        triangles: vertex indices.
        mirror: index of the vertex on the other side of the face.
    """

    vertices: Float[np.ndarray, "468 3"]
    triangles: Int[np.ndarray, "m 3"]
    mirror: Int[np.ndarray, "468"]


def upper_lid(ring: tuple[int, ...]) -> list[int]:
    """Vertices of an eye ring's upper lid, outer to inner corner."""
    return [ring[0], *ring[:8:-1], ring[8]]


@functools.cache
def load_mesh() -> FaceMesh:
    """Reads the canonical mesh.

    Raises:
        FaceModelError: if the model file is missing or is another file.
    """
    with zipfile.ZipFile(find_face_model()) as bundle:
        message = bundle.read(_BUNDLE_MEMBER)
    mesh = next(value for number, _, value in _fields(message) if number == 1)
    coordinates: list[float] = []
    indices: list[int] = []
    for number, wire_type, value in _fields(mesh):
        if number == 3:  # vertex_buffer: x, y, z, u, v as floats, packed or one by one
            coordinates.extend([value] if wire_type == 5 else np.frombuffer(value, "<f4").tolist())
        elif number == 4:  # index_buffer
            indices.extend([value] if wire_type == 0 else _varints(value))
    vertices = np.array(coordinates).reshape(NUM_VERTICES, 5)[:, :3]
    squared = ((vertices[:, None] * (-1.0, 1.0, 1.0) - vertices[None]) ** 2).sum(-1)
    return FaceMesh(vertices, np.array(indices, np.int64).reshape(-1, 3), squared.argmin(1))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _fields(message: bytes) -> Iterator[tuple[int, int, int | float | bytes]]:
    """Yields (field number, wire type, value) of a protocol-buffer message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(message, at)
        elif wire_type == 5:
            (value,) = struct.unpack_from("<f", message, at)
            at += 4
        elif wire_type == 1:
            (value,) = struct.unpack_from("<d", message, at)
            at += 8
        else:
            size, at = _varint(message, at)
            value = message[at : at + size]
            at += size
        yield number, wire_type, value
