"""Speed and accuracy of the preprocessing from frames to faces.

    python -m benchmarks.vision [--clips 12] [--rounds 5] [--json FILE]

Surrogate SMIC: 640x480, JPEG on disk, OpenCV limited to one thread. Speeds are per core: frames per CPU second of the
whole process, including MediaPipe's threads. Frames per wall-clock second, which depend on the load of the machine, are
printed too. All frames of a clip count, whether the sampling decodes them or not.

Accuracy is measured against the renderer's ground truth: the jitter of a still face under camera noise and JPEG, and
the distance of the head's points from their position in the onset crop after registration. If dlib can be imported and
DLIB_LANDMARKS names its 68-point predictor, both run on the same frames; neither is a dependency.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.timing import describe_machine, format_table, make_parser
from datasets.surrogate.camera import Camera, encode_frame
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.renderer import FaceRenderer, FaceState
from datasets.surrogate.scenario import DIFFICULTIES, UNIT_SETS, ClipSpec, sample_clip
from datasets.surrogate.smic import GEOMETRY
from datasets.surrogate.studio import make_renderer, render_clip, state_at
from mer_jax.vision.crop import box_crop, transform_points
from mer_jax.vision.frames import FolderFrames
from mer_jax.vision.landmarks import FaceLandmarker, ibug_from_mesh, interocular_distance
from mer_jax.vision.libraries import cv2, load_mediapipe
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import prepare_clip
from mer_jax.vision.registration import register_frames

SEED = 7
NOISY_FRAMES = 30
SUBJECTS = 4
STEADY_VIEWS = 4  # views per frame that are averaged

Clip = tuple[Path, FaceRenderer, ClipSpec]


def render(folder: Path, count: int) -> list[Clip]:
    """Writes clips like a corpus: one JPEG per frame."""
    camera = Camera(GEOMETRY.shape, GEOMETRY.noise)
    renderers = [make_renderer(sample_subject(SEED, number, GEOMETRY.tones), GEOMETRY) for number in range(SUBJECTS)]
    clips = []
    for number in range(count):
        rng, name = np.random.default_rng([SEED, number]), list(UNIT_SETS)[number % len(UNIT_SETS)]
        subject = sample_subject(SEED, number % SUBJECTS, GEOMETRY.tones)
        spec = sample_clip(rng, subject, name, DIFFICULTIES["medium"], fps=GEOMETRY.fps, duration_s=GEOMETRY.duration_s)
        home = folder / f"clip{number:03d}"
        home.mkdir()
        for frame in render_clip(renderers[number % SUBJECTS], camera, spec):
            (home / f"img{frame.index:04d}.jpg").write_bytes(encode_frame(frame.image, GEOMETRY.jpeg_quality))
        clips.append((home, renderers[number % SUBJECTS], spec))
    return clips


def time_rounds(work: Callable[[], int], rounds: int) -> dict[str, list[float]]:
    """Returns frames per second of each round, by CPU and wall-clock time, after one warm-up round."""
    work()
    rates: dict[str, list[float]] = {"cpu": [], "clock": []}
    for _ in range(rounds):
        cpu, clock = time.process_time(), time.perf_counter()
        frames = work()
        rates["cpu"].append(frames / (time.process_time() - cpu))
        rates["clock"].append(frames / (time.perf_counter() - clock))
    return rates


def measure_speed(clips: list[Clip], landmarker: FaceLandmarker, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measures whole clips with the default options, and landmarks on every frame; both include decoding."""
    options = VisionOptions()

    def prepare() -> int:
        for folder, _, _ in clips:
            prepare_clip(FolderFrames(folder), options, landmarker)
        return sum(spec.num_frames for _, _, spec in clips)

    def detect() -> int:
        count = 0
        for folder, _, _ in clips[: max(1, len(clips) // 4)]:
            for frame in FolderFrames(folder):
                landmarker.detect(frame)
                count += 1
        return count

    def detect_steadily() -> int:
        frames = FolderFrames(clips[0][0])
        return len([landmarker.detect(frame, views=STEADY_VIEWS) for frame in frames])

    return {
        "whole clip to faces, default options": time_rounds(prepare, rounds),
        "landmarks on every frame": time_rounds(detect, rounds),
        f"the same, {STEADY_VIEWS} views": time_rounds(detect_steadily, rounds),
    }


def still_frames(renderer: FaceRenderer, camera: Camera) -> list[np.ndarray]:
    """Returns RGB frames of a still face with camera noise, after JPEG compression."""
    light, frames = renderer.render(FaceState()), []
    for number in range(NOISY_FRAMES):
        noisy = camera.expose(light, 1.0, np.random.default_rng([SEED, number]))
        encoded = np.frombuffer(encode_frame(noisy, GEOMETRY.jpeg_quality), np.uint8)
        frames.append(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))
    return frames


def jitter_percent(points: np.ndarray) -> float:
    """Returns the RMS deviation of the 68 points `[t 68 2]` from their means, % of the distance between the eyes."""
    away = points - points.mean(axis=0)
    return float(100 * np.sqrt((away**2).sum(axis=-1).mean()) / interocular_distance(points.mean(axis=0)))


def measure_residuals(clips: list[Clip], landmarker: FaceLandmarker) -> dict[str, list[float]]:
    """Returns per clip the RMS distance of the inner points from the onset crop, pixels of the 128x128 face."""
    residuals: dict[str, list[float]] = {"registered": [], "held, not registered": []}
    for folder, renderer, spec in clips:
        frames = FolderFrames(folder)
        found = landmarker.detect(frames[0])
        held = box_crop(found.ibug)
        corrections = register_frames([frames.gray(index) for index in range(len(frames))], found.ibug, 0).corrections
        # Head motion only: the same poses without expression.
        poses = [state_at(spec, index).pose for index in range(spec.num_frames)]
        truth = [ibug_from_mesh(renderer.landmarks(FaceState(pose=pose)))[17:] for pose in poses]
        for name, crops in (("registered", held @ corrections), ("held, not registered", [held] * len(truth))):
            placed = np.stack([transform_points(crop, points) for crop, points in zip(crops, truth, strict=True)])
            residuals[name].append(float(np.sqrt(((placed - placed[0]) ** 2).sum(axis=-1).mean())))
    return residuals


def measure_dlib(
    stills: list[list[np.ndarray]], landmarker: FaceLandmarker, rounds: int
) -> dict[str, dict[str, list[float]]] | str:
    """Measures ours and dlib in turn on the same frames in memory, or says why not."""
    try:
        import dlib
    except ImportError:
        return "not measured: dlib is not installed"
    model = os.environ.get("DLIB_LANDMARKS", "")
    if not Path(model).is_file():
        return "not measured: DLIB_LANDMARKS names no shape_predictor_68_face_landmarks.dat"
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(model)

    def points(frame: np.ndarray) -> np.ndarray:
        shape = predictor(frame, detector(frame, 0)[0])
        return np.array([(part.x, part.y) for part in shape.parts()], np.float32)

    def ours(frame: np.ndarray) -> np.ndarray:
        return landmarker.detect(frame).ibug

    figures: dict[str, dict[str, list[float]]] = {"ours": {"cpu": []}, "dlib": {"cpu": []}}
    for _ in range(rounds):
        for name, find in (("ours", ours), ("dlib", points)):
            rates = time_rounds(lambda find=find: len([find(frame) for frame in stills[0]]), 1)
            figures[name]["cpu"] += rates["cpu"]
    for name, find in (("ours", ours), ("dlib", points)):
        figures[name]["jitter_percent"] = [jitter_percent(np.stack([find(f) for f in frames])) for frames in stills]
    return figures


def main() -> None:
    """Prints the table and optionally writes JSON."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--clips", type=int, default=12)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    camera = Camera(GEOMETRY.shape, GEOMETRY.noise)
    with tempfile.TemporaryDirectory() as folder, FaceLandmarker() as landmarker:
        clips = render(Path(folder), arguments.clips)
        speeds = measure_speed(clips, landmarker, arguments.rounds)
        stills = [still_frames(renderer, camera) for _, renderer, _ in clips[:SUBJECTS]]
        jitters = {
            views: [jitter_percent(np.stack([landmarker.detect(f, views=views).ibug for f in s])) for s in stills]
            for views in (1, STEADY_VIEWS)
        }
        residuals = measure_residuals(clips, landmarker)
        paired = measure_dlib(stills, landmarker, arguments.rounds)

    def row(name: str, values: list[float], target: str, digits: int) -> list[str]:
        shown = (statistics.median(values), min(values), max(values))
        return [name, *(f"{value:.{digits}f}" for value in shown), str(len(values)), target]

    rows = []
    for name, rates in speeds.items():
        target = {"whole": "400 or more", "landmarks": "90 or more"}.get(name.split()[0], "")
        rows.append(row(f"{name}, frames/s by CPU time", rates["cpu"], target, 0))
        rows.append(row(f"{name}, frames/s by wall clock", rates["clock"], "", 0))
    for views, values in jitters.items():
        seen = "one view" if views == 1 else f"{views} views"
        target = ".15 or less" if views == STEADY_VIEWS else ""
        rows.append(row(f"landmark jitter, {seen}, % of the distance between the eyes", values, target, 3))
    rows.append(row("registration residual, px of 128", residuals["registered"], ".25 or less", 3))
    rows.append(row("the same without registration", residuals["held, not registered"], "", 3))
    if isinstance(paired, dict):
        for name, figures in paired.items():
            rows.append(row(f"{name}: landmarks of frames in memory, frames/s by CPU time", figures["cpu"], "", 0))
            jitter = figures["jitter_percent"]
            rows.append(row(f"{name}: landmark jitter, % of the distance between the eyes", jitter, "", 3))
    versions = f"OpenCV {cv2.__version__}, MediaPipe {load_mediapipe().__version__}"
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{describe_machine()}, {versions}; {load}")
    print(format_table(["", "median", "min", "max", "n", "to reach"], rows))
    if isinstance(paired, str):
        print(f"dlib: {paired}")
    if arguments.json:
        content = {
            "machine": describe_machine(), "versions": versions, "clips": arguments.clips, "frames_per_s": speeds,
            "jitter_percent": jitters, "residual_px": residuals, "paired_with_dlib": paired,
        }  # fmt: skip
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
