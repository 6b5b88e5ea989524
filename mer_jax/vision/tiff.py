"""TIFF stacks: clips in one file, as microscopes and laboratory cameras write them."""

import struct
from pathlib import Path

import numpy as np

from mer_jax.errors import DecodeError
from mer_jax.vision.frames import ArrayFrames, to_8_bit
from mer_jax.vision.libraries import cv2, quiet_opencv

TIFF_SUFFIXES = (".tif", ".tiff")
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_MOST_PAGES = 100_000


def count_pages(path: Path) -> int:
    """Counts the pages of a TIFF file by its directories, without decoding; 0 for a file of another kind.

    A page whose directory is cut off counts as well, so that it is missed when the pages are decoded.
    """
    pages = 0
    try:
        with path.open("rb") as file:
            order = _BYTE_ORDERS.get(file.read(4))
            if order is None:
                return 0
            (offset,) = struct.unpack(order + "I", file.read(4))
            while offset and pages < _MOST_PAGES:
                pages += 1
                file.seek(offset)
                (entries,) = struct.unpack(order + "H", file.read(2))
                file.seek(offset + 2 + 12 * entries)
                (offset,) = struct.unpack(order + "I", file.read(4))
    except (OSError, struct.error):
        return pages
    return pages


class StackFrames(ArrayFrames):
    """The pages of a TIFF file as frames, in memory.

    Args:
        path: The file.

    Raises:
        DecodeError: It cannot be decoded, or its pages differ in size.
    """

    def __init__(self, path: Path) -> None:
        with quiet_opencv():
            decoded, pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
        if not decoded or len(pages) < count_pages(path):
            raise DecodeError(f"{path} cannot be decoded: {len(pages)} of {count_pages(path)} pages can be read")
        sizes = {page.shape for page in pages}
        if len(sizes) > 1:
            raise DecodeError(f"{path} has pages of {len(sizes)} different sizes; expected frames of one size")
        super().__init__(np.stack([to_8_bit(page, str(path)) for page in pages]), str(path))
