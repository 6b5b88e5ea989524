"""How far a command over many clips is, on stderr."""

import sys
from typing import TYPE_CHECKING

from mer_jax.system.files import printable

if TYPE_CHECKING:
    from mer_jax.vision.inspection import Progress

_BAR = 24  # width of the progress bar, characters


class ProgressBar:
    """One line on stderr that counts clips and frames; on anything but a terminal, one line a clip."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def show(self, progress: "Progress") -> None:
        """Shows how far the command is."""
        name = printable(progress.name)
        head = f"{progress.clip} of {progress.num_clips}: {name if len(name) <= 40 else '...' + name[-37:]}"
        if not self._is_terminal:
            if progress.frame == 0:
                print(f"{progress.clip} of {progress.num_clips}: {name}", file=sys.stderr)
            return
        done = progress.frame / max(1, progress.num_frames)
        bar = "#" * round(_BAR * done)
        print(f"\r\x1b[K{head} [{bar:<{_BAR}}] {done:.0%}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the line from a terminal."""
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
