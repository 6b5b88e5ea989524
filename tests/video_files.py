"""Writes the videos that tests need."""

from pathlib import Path

import cv2
import numpy as np

CASES = Path(__file__).parent / "cases"


def write_video(path: Path, frames: list[np.ndarray], codec: str = "mp4v", fps: float = 25.0) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def numbered_frames(count: int) -> list[np.ndarray]:
    """Frames that tell their number by their gray level: 20, 30, 40..."""
    return [np.full((48, 64, 3), 20 + 10 * index, np.uint8) for index in range(count)]
