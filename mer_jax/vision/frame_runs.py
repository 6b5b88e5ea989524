"""Runs of frames: joining frame numbers into runs, and naming them in messages."""

from collections.abc import Sequence


def frame_runs(chosen: Sequence[int], frames: Sequence[int]) -> list[tuple[int, int]]:
    """Joins frames that are neighbours among the examined ones into runs of (first, last).

    Args:
        chosen: Frame numbers, each of them in `frames`.
        frames: The frames that were examined, in temporal order.

    Example:
        >>> frame_runs([2, 4, 10], frames=[0, 2, 4, 6, 8, 10])
        [(2, 4), (10, 10)]
    """
    place = {frame: number for number, frame in enumerate(frames)}
    runs: list[tuple[int, int]] = []
    for frame in sorted(chosen):
        if runs and place[frame] == place[runs[-1][1]] + 1:
            runs[-1] = runs[-1][0], frame
        else:
            runs.append((frame, frame))
    return runs


def name_frames(runs: Sequence[tuple[int, int]], most: int = 5) -> str:
    """Names runs of frames, 0-based.

    Example:
        >>> name_frames([(3, 3), (7, 20)])
        'frames 3, 7-20'
    """
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:most]]
    more = f" and {len(runs) - most} more" if len(runs) > most else ""
    single = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"{'frame' if single else 'frames'} {', '.join(parts)}{more}"


def count_frames(number: int) -> str:
    """Counts frames in words: `1 frame`, `2 frames`."""
    return f"{number} frame{'' if number == 1 else 's'}"
