"""Streaming writer for Motion JPEG .avi files.

OpenCV's writers do not keep to the JPEG quality that they are given: one chooses a bit rate at which movements of a
pixel drown, the other four times the room. Here the pictures are those of the corpora with frames in files.

Source: Microsoft, AVI RIFF File Reference: `avih`, `strh`, `strf`, a list `movi` of `00dc`, and the index `idx1`.
"""

import struct
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from datasets.surrogate.camera import encode_frame
from mer_jax.errors import CorpusError

_HAS_INDEX, _IS_KEY_FRAME = 0x10, 0x10
_HEADER_BYTES = 224  # up to the first picture; the sizes in `_header` follow from the structures there
_MOST_BYTES = 2**32 - 2**20  # sizes are numbers of 32 bits


class AviWriter:
    """Writes a Motion JPEG .avi frame by frame; memory use is one frame plus 8 bytes per frame written.

    Args:
        path: the file; complete after `close`.
        shape: height and width of the frames.
        fps: frames per second.
        jpeg_quality: 1 to 100.
    """

    def __init__(self, path: Path, shape: tuple[int, int], fps: float, jpeg_quality: int):
        self._path, self._shape, self._fps, self._quality = path, shape, fps, jpeg_quality
        self._index = bytearray()  # offset in `movi` and size of each picture
        self._largest = 0
        self._at = _HEADER_BYTES
        self._file = path.open("wb")
        self._file.write(self._header())

    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """Adds an RGB frame.

        Raises:
            CorpusError: the file is as large as an .avi can be.
            OSError: the disk is full.
        """
        picture = encode_frame(frame, self._quality)
        if self._at + len(picture) + 3 * len(self._index) > _MOST_BYTES:
            raise CorpusError(
                f"{self._path} does not fit into one .avi of 4 GB; it has {len(self._index) // 8} frames so far. "
                "Give a shorter --duration or a smaller --scale."
            )
        self._index += struct.pack("<II", self._at - _HEADER_BYTES + 4, len(picture))
        padded = picture + b"\0" * (len(picture) % 2)
        self._file.write(b"00dc" + struct.pack("<I", len(picture)) + padded)
        self._at += 8 + len(padded)
        self._largest = max(self._largest, len(padded))

    def close(self) -> None:
        """Writes the index, and the frame count and sizes into the header."""
        entries = struct.iter_unpack("<II", self._index)
        index = b"".join(b"00dc" + struct.pack("<III", _IS_KEY_FRAME, *entry) for entry in entries)
        self._file.write(_chunk(b"idx1", index))
        self._file.seek(0)
        self._file.write(self._header(len(index) + 8))
        self._file.close()

    def __enter__(self) -> "AviWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None:
            self.close()
        else:  # an unfinished video must not look like a complete one
            self._file.close()

    def _header(self, index_bytes: int = 0) -> bytes:
        height, width = self._shape
        num_frames, rate = len(self._index) // 8, round(self._fps * 1000)
        main = struct.pack(
            "<14I", round(1e6 / self._fps), round(self._largest * self._fps), 0, _HAS_INDEX, num_frames, 0, 1,
            self._largest, width, height, 0, 0, 0, 0,
        )  # fmt: skip
        stream = b"vidsMJPG" + struct.pack(
            "<10I4H", 0, 0, 0, 1000, rate, 0, num_frames, self._largest, 0xFFFFFFFF, 0, 0, 0, width, height
        )
        picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", 3 * width * height, 0, 0, 0, 0)
        streams = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture))
        lists = _list(b"hdrl", _chunk(b"avih", main) + streams)
        movie = b"LIST" + struct.pack("<I", self._at - _HEADER_BYTES + 4) + b"movi"
        header = b"RIFF" + struct.pack("<I", self._at + index_bytes - 8) + b"AVI " + lists + movie
        assert len(header) == _HEADER_BYTES, len(header)
        return header


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def _list(name: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", name + content)
