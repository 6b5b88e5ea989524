"""Processor time of one clip: of predicting it once its frames are read, and of rendering it as training data.

    python -m benchmarks.one_clip [--rounds 5] [--people 2] [--json FILE]

Processor time of one process, which other programs on the machine change little. The frames are those of the three
real clips in tests/faces; the rendered people are of version 2 of the surrogate, in each laboratory, into a new cache.
"""

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mer_jax
from benchmarks.timing import make_parser, report
from datasets.surrogate.laboratory import LABORATORIES
from datasets.surrogate.motion_clips import record_motion
from datasets.surrogate.recording import Recording
from experiments.surrogate_motion import NAME, RANDOMIZATION
from mer_jax.cli.command import run_command
from mer_jax.vision.libraries import cv2
from mer_jax.vision.sources import open_frames

FACES = Path(__file__).parents[1] / "tests" / "faces"
FRAMES, APEX = 40, 12  # of each clip; onset is the first frame
CLIPS_EACH = 9


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument("--people", type=int, default=2, help="rendered people in each laboratory (default: 2)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [*_time_predictions(arguments.rounds), *_time_recordings(arguments.people)]
    report(rows, arguments.json, notes=["SURROGATE: rendered people, where a laboratory is named"])


def _time_predictions(rounds: int) -> list[dict[str, Any]]:
    rows = []
    with mer_jax.load(NAME) as model:
        for path in sorted(FACES.glob("*.mpg")):
            with open_frames(str(path)) as source:
                frames = np.stack([source[index] for index in range(FRAMES)])
            for given, apex in (("onset and apex given", APEX), ("apex spotted", None)):
                predict = functools.partial(model.predict, frames, apex=apex)
                predict()  # loads the detector
                times = [_processor_seconds(predict) for _ in range(rounds)]
                what = f"answer, {given}: {path.stem}, {frames.shape[2]}x{frames.shape[1]}"
                rows.append({"what": what, "processor ms": round(1e3 * statistics.median(times), 1)})
    return rows


def _time_recordings(people: int) -> list[dict[str, Any]]:
    rows, say = [], functools.partial(print, file=sys.stderr)
    for name in LABORATORIES:
        recording = Recording(laboratory=name, people=people, clips_each=CLIPS_EACH, randomization=RANDOMIZATION)
        with tempfile.TemporaryDirectory() as folder:
            film = functools.partial(record_motion, [recording], Path(folder), workers=1, say=say)
            seconds = _processor_seconds(film) / (people * CLIPS_EACH)
        what = f"motion features of a rendered clip, {name}"
        hours = f"{10_000 * seconds / 3600:.2f}"
        rows.append({"what": what, "processor ms": round(1e3 * seconds, 1), "processor hours for 10,000": hours})
    return rows


def _processor_seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(run_command(main, on_interrupt="interrupted; nothing was written"))
