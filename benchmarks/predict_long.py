"""`mer predict` on a long video: seconds to the first result, frames a second, memory. SURROGATE video.

    python -m benchmarks.predict_long [--minutes 5] [--overlay] [--keep FOLDER] [--json FILE]

A minute in the geometry of CAS(ME)^2 (640x480, 30 frames a second), with expressions, blinks, glances, speech and
turns, is rendered and repeated, as MPEG-4. The command runs as a process of its own, and the clock starts with it:
importing, loading the model and opening the file count. The first result is the first line of an expression that it
prints.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.live import render
from benchmarks.timing import describe_machine, format_table, make_parser
from mer_jax.spotting.interval import EXPRESSIONS
from mer_jax.vision.libraries import cv2
from mer_jax.vision.video import VideoFrames


def repeat(source: Path, target: Path, minutes: float) -> int:
    """Writes a video that repeats another one; returns its number of frames."""
    with VideoFrames(source) as frames:
        rate = 1 / frames.time_s(1)
        number = round(rate * 60 * minutes)
        height, width = frames[0].shape[:2]
        part = target.with_suffix(".part.mp4")
        writer = cv2.VideoWriter(str(part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
        for index in range(number):
            writer.write(cv2.cvtColor(frames[index % len(frames)], cv2.COLOR_RGB2BGR))
        writer.release()
        part.replace(target)
    return number


def predict(video: Path, out: Path, *, overlay: bool) -> dict[str, Any]:
    """Runs the command; returns what it took."""
    command = [sys.executable, "-m", "mer_jax.cli.main", "predict", str(video), "--out", str(out)]
    start, expressions = time.perf_counter(), 0
    first_s: float | None = None
    process = subprocess.Popen(
        command if overlay else [*command, "--no-overlay"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if any(f"{kind}  " in line for kind in EXPRESSIONS):
            first_s = time.perf_counter() - start if first_s is None else first_s
            expressions += 1
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "first_s": first_s,
        "wall_s": time.perf_counter() - start,
        "processor_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
        "expressions": expressions,
    }


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--overlay", action="store_true", help="with overlay.webm, as the command writes by default")
    parser.add_argument("--keep", type=Path, help="folder for the videos, which another run then takes")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rendered_s = min(60.0, 60 * flags.minutes)
        source, video = folder / f"SURROGATE_{rendered_s:g}_s.avi", folder / f"SURROGATE_{flags.minutes:g}_minutes.mp4"
        if not source.exists():
            render(source, rendered_s)
        if not video.exists():
            repeat(source, video, flags.minutes)
        with VideoFrames(video) as frames:
            num_frames = len(frames)
        load = os.getloadavg()[0]
        figures = predict(video, Path(temporary) / "out", overlay=flags.overlay)
    machine = describe_machine()
    print(machine)
    print(f"SURROGATE: {num_frames:,} frames of 640x480, {flags.minutes:g} minutes; load before {load:.1f}")
    first_s = figures["first_s"]
    row = [
        "none" if first_s is None else f"{first_s:.1f} s", f"{num_frames / figures['wall_s']:.0f}",
        f"{1000 * figures['processor_s'] / num_frames:.1f} ms", f"{figures['peak_mib']:.0f} MiB",
        f"{figures['expressions']:.0f}",
    ]  # fmt: skip
    head = ["first result after", "frames/s", "processor time a frame", "memory at most", "expressions"]
    print(format_table(head, [row]))
    if flags.json:
        written = {"machine": machine, "frames": num_frames, "minutes": flags.minutes, "load": load, **figures}
        flags.json.write_text(json.dumps(written, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
