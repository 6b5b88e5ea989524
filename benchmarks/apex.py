"""Error of the spotted apex, in frames.

    python -m benchmarks.apex [--clips 40] [--videos 8] [--difficulties medium real] [--json FILE]

Clips of surrogate SMIC run from onset to offset; the baseline always answers the middle frame. In the uncut videos of
two seconds, head, light, lips and eyes keep moving before and after the expression, whose position is random. The apex
of the surrogate is known, while that of a real face is a coder's judgement: these errors are a lower bound.
"""

import dataclasses
import json
import statistics

import numpy as np

from benchmarks.timing import describe_machine, format_table, make_parser
from datasets.surrogate.camera import Camera
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.scenario import DIFFICULTIES, UNIT_SETS, ClipSpec, sample_clip
from datasets.surrogate.smic import GEOMETRY
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.vision.apex import HALF_INTERVAL_S, spot_apex
from mer_jax.vision.crop import box_crop, transform_points, warp_gray
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.registration import register_frames

VIDEO_S = 2.0


def plan_clip(rng: np.random.Generator, subject, class_name: str, difficulty: str) -> ClipSpec:
    """Plans one clip, onset to offset."""
    return sample_clip(
        rng, subject, class_name, DIFFICULTIES[difficulty], fps=GEOMETRY.fps, duration_s=GEOMETRY.duration_s
    )


def plan_video(rng: np.random.Generator, subject, class_name: str, difficulty: str) -> ClipSpec:
    """Plans two seconds of other motion with the expression of a short clip inside."""
    clip = plan_clip(rng, subject, class_name, difficulty)
    while any(
        abs(path[0]) > 1e-6 for path in clip.activations.values()
    ):  # its own disturbances would start with a jump
        clip = plan_clip(rng, subject, class_name, difficulty)
    quiet = dataclasses.replace(DIFFICULTIES[difficulty], amplitude=0.0)
    lengths = (VIDEO_S, VIDEO_S, VIDEO_S)
    video = sample_clip(rng, subject, class_name, quiet, fps=GEOMETRY.fps, duration_s=lengths)
    half = round(HALF_INTERVAL_S * GEOMETRY.fps)
    start = int(rng.integers(half, video.num_frames - half - clip.num_frames))
    activations = dict(video.activations)
    for key, path in clip.activations.items():
        after = path[-1] * np.linspace(1, 0, 30).clip(0)  # the rest at the offset fades within .3 s
        long = np.zeros(video.num_frames)
        long[start : start + clip.num_frames] = path
        rest = min(30, video.num_frames - start - clip.num_frames)
        long[start + clip.num_frames : start + clip.num_frames + rest] = after[:rest]
        activations[key] = activations.get(key, 0.0) + long
    return dataclasses.replace(video, activations=activations, apex=start + clip.apex)


def measure(plan, half_interval: int | None, count: int, difficulty: str, seed: int) -> dict[str, list[int]]:
    """Spots the apex in rendered clips or videos; returns true frames, spotted frames and lengths."""
    found = {"apex": [], "spotted": [], "length": []}
    camera = Camera(GEOMETRY.shape, GEOMETRY.noise)
    classes = list(UNIT_SETS)
    with FaceLandmarker() as landmarker:
        for number in range(count):
            subject = sample_subject(seed, number % 8, GEOMETRY.tones)
            rng = np.random.default_rng([seed, number])
            spec = plan(rng, subject, classes[number % len(classes)], difficulty)
            renderer = make_renderer(subject, GEOMETRY, DIFFICULTIES[difficulty].anatomy_variation)
            frames = ArrayFrames(np.stack([frame.image for frame in render_clip(renderer, camera, spec)]))
            face = landmarker.detect(frames[0])
            grays = [frames.gray(index) for index in range(len(frames))]
            held = box_crop(face.ibug)
            corrections = register_frames(grays, face.ibug, 0).corrections
            faces = np.stack([warp_gray(gray, held @ each) for gray, each in zip(grays, corrections, strict=True)])
            found["apex"].append(int(spec.apex))
            found["spotted"].append(spot_apex(faces, transform_points(held, face.ibug), half_interval))
            found["length"].append(len(frames))
    return found


def main() -> None:
    """Prints the table and optionally writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--difficulties", nargs="+", choices=DIFFICULTIES, default=("medium", "real"))
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    half = round(HALF_INTERVAL_S * GEOMETRY.fps)
    results, rows = [], []
    for difficulty in arguments.difficulties:
        for kind, plan, interval, count in (
            ("clip", plan_clip, None, arguments.clips),
            ("uncut video", plan_video, half, arguments.videos),
        ):
            found = measure(plan, interval, count, difficulty, arguments.seed)
            errors = [abs(a - b) for a, b in zip(found["apex"], found["spotted"], strict=True)]
            middle = [abs(a - n // 2) for a, n in zip(found["apex"], found["length"], strict=True)]
            results.append({"difficulty": difficulty, "kind": kind, **found})
            rows.append(
                [
                    f"{kind}, {difficulty}", str(count), f"{statistics.mean(found['length']):.0f}",
                    f"{statistics.mean(errors):.2f}", f"{statistics.median(errors):.1f}", str(max(errors)),
                    f"{100 * statistics.mean(error <= 3 for error in errors):.0f} %", f"{statistics.mean(middle):.2f}",
                ]
            )  # fmt: skip
    print(f"{describe_machine()}; surrogate SMIC, {GEOMETRY.fps:.0f} frames/s, seed {arguments.seed}")
    header = ["", "n", "frames", "mean error", "median", "largest", "within 3 frames", "mean error of the middle"]
    print(format_table(header, rows))
    if arguments.json:
        content = {"machine": describe_machine(), "seed": arguments.seed, "results": results}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
