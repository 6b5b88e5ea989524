"""How fast SURROGATE long videos are rendered, and how large they are.

    python -m benchmarks.long_videos [--frames 300] [--json FILE]

Processor time of one process, the encoding of frames included, painting the person left out. A default corpus is that
of `python -m datasets.surrogate --corpus casme_squared_long` or `samm_long`; its minutes are those of one processor.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import describe_machine, format_table
from datasets.surrogate.avi import AviWriter
from datasets.surrogate.camera import Camera, encode_frame
from datasets.surrogate.corpus import CORPORA
from datasets.surrogate.long_video import VIDEO_QUALITY
from datasets.surrogate.plan import CorpusOptions
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.vision.libraries import cv2

CORPORA_OF_LONG_VIDEOS = ("casme_squared_long", "samm_long")


def measure(corpus: str, num_frames: int, version: int) -> dict[str, float]:
    """Renders the first frames of a video of a default corpus; returns milliseconds and kilobytes a frame."""
    release = CORPORA[corpus]
    seconds = release.duration_s or 0.0
    plan = release.plan(CorpusOptions("medium", 1, 1, duration_s=seconds, version=version))
    clip, geometry = plan.subjects[0].clips[0], plan.geometry
    renderer = make_renderer(plan.subjects[0].subject, geometry, version=version)
    camera = Camera(geometry.shape, geometry.noise)
    frames = range(min(num_frames, clip.spec.num_frames))
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        if clip.video:
            with AviWriter(Path(folder) / "video.avi", geometry.shape, geometry.fps, VIDEO_QUALITY) as video:
                for frame in render_clip(renderer, camera, clip.spec, frames=frames):
                    video.write(frame.image)
        else:
            for frame in render_clip(renderer, camera, clip.spec, frames=frames):
                content = encode_frame(frame.image, geometry.jpeg_quality, is_gray=geometry.is_gray)
                (Path(folder) / f"{frame.index}.jpg").write_bytes(content)
        spent_s = time.process_time() - start
        num_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
    num_corpus = release.num_clips * seconds * geometry.fps
    return {
        "ms_per_frame": 1000 * spent_s / len(frames),
        "frames_per_s": len(frames) / spent_s,
        "kb_per_frame": num_bytes / len(frames) / 1000,
        "corpus_minutes": num_corpus * spent_s / len(frames) / 60,
        "corpus_gb": num_corpus * num_bytes / len(frames) / 1e9,
    }


def rows(num_frames: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields the name and the figures of each corpus and version."""
    for corpus in CORPORA_OF_LONG_VIDEOS:
        for version in (1, 2):
            yield f"{corpus}, version {version}", measure(corpus, num_frames, version)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_videos", description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=300, help="of each video (default: 300)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    print(describe_machine())
    found = dict(rows(flags.frames))
    header = ["SURROGATE", "frames/s a processor", "ms a frame", "kB a frame", "default corpus, minutes", "GB"]
    table = [
        [
            name,
            f"{each['frames_per_s']:.0f}",
            f"{each['ms_per_frame']:.1f}",
            f"{each['kb_per_frame']:.0f}",
            f"{each['corpus_minutes']:.1f}",
            f"{each['corpus_gb']:.2f}",
        ]
        for name, each in found.items()
    ]
    print(format_table(header, table))
    if flags.json:
        flags.json.write_text(json.dumps({"machine": describe_machine(), "results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
