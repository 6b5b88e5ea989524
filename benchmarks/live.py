"""Latency of live prediction, from the arrival of a frame to its analysis and to the answer. SURROGATE video.

    python -m benchmarks.live [--seconds 60] [--video FILE] [--model MODEL] [--keep FOLDER] [--json FILE]

A video in the geometry of CAS(ME)^2 (640x480, 30 frames a second) with expressions, blinks, glances, speech and turns
is rendered, and played as if live: paced by its timestamps, the newest frame analysed, others dropped. Wall times
depend on the load of the machine, which is printed. So the same frames are analysed a second time, one after the other
and as fast as it goes, and the processor time of each is taken: on a free core a frame waits no longer than that.
"""

import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import describe_machine, format_table, make_parser
from datasets.surrogate.casme_squared import FEELING_COUNTS, GEOMETRY
from datasets.surrogate.emotions import EMOTION_SETS
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.long_scenario import sample_long_scenario
from datasets.surrogate.long_video import render_long_video
from datasets.surrogate.scenario import DIFFICULTIES
from mer_jax.prediction.live import LiveInterval, LivePredictor
from mer_jax.prediction.live_session import LiveSession, wait_for_first
from mer_jax.prediction.model import TrainedModel, choose_model, load
from mer_jax.prediction.video import read_times
from mer_jax.system.latency import LatencyHistogram
from mer_jax.vision.live_source import LiveFrame, LiveSource
from mer_jax.vision.video import VideoFrames

SEED, PERSON, DIFFICULTY, VERSION = 17, 0, "medium", 2


def render(path: Path, seconds: float) -> None:
    """Renders a person who expresses something now and then."""
    subject, preset = sample_subject(SEED, PERSON, GEOMETRY.tones), DIFFICULTIES[DIFFICULTY]
    scenario = sample_long_scenario(
        np.random.default_rng([SEED, PERSON]), subject, preset, fps=GEOMETRY.fps,
        num_frames=round(seconds * GEOMETRY.fps), emotions=FEELING_COUNTS, unit_sets=EMOTION_SETS, version=VERSION,
    )  # fmt: skip
    part = path.with_suffix(".part.avi")
    render_long_video(scenario, subject, GEOMETRY, part, anatomy_variation=preset.anatomy_variation, version=VERSION)
    part.replace(path)


def play(path: Path, model: TrainedModel, seconds: float) -> dict[str, Any]:
    """Plays a video as if live."""
    kinds: Counter[str] = Counter()
    classified = LatencyHistogram()

    def count(each: LiveInterval, latency_s: float | None) -> None:
        kinds[each.interval.kind] += 1
        if each.answer is not None and latency_s is not None:
            classified.add(latency_s)

    with LivePredictor(model) as predictor, LiveSource(str(path)) as source:
        first = wait_for_first(source)
        assert first is not None
        session = LiveSession(source, predictor, count)
        load_before, start = os.getloadavg()[0], time.process_time()
        session.run(first, duration_s=seconds)
        spent_s, arrived = time.process_time() - start, source.arrived
        session.finish()
    return {
        "frames": arrived, "dropped": source.dropped, "dropped_share": source.dropped / arrived, "kinds": dict(kinds),
        "load_average": [load_before, os.getloadavg()[0]], "processor_ms_per_frame": 1000 * spent_s / arrived,
        "frame_to_analysed_ms": summarize(session.processing), "frame_to_answer_ms": summarize(session.answering),
        "frame_to_class_ms": summarize(classified), "offset_to_known_ms": summarize(session.waiting),
    }  # fmt: skip


def summarize(latency: LatencyHistogram) -> dict[str, int | None]:
    """Returns count, median, 95th percentile and maximum."""
    return {
        "count": latency.count, "median": latency.percentile_ms(50), "95 %": latency.percentile_ms(95),
        "longest": latency.percentile_ms(100),
    }  # fmt: skip


def measure_processor(path: Path, model: TrainedModel) -> dict[str, dict[str, int | None]]:
    """Processor time of each frame without pacing: of all, of those after which a movement is reported."""
    every, reporting = LatencyHistogram(), LatencyHistogram()
    with LivePredictor(model) as predictor, VideoFrames(path) as frames:
        times = read_times(frames)
        for index in range(len(frames)):
            frame = LiveFrame(index, float(times[index]), time.monotonic(), frames[index])
            start = time.process_time()
            found = predictor.push(frame)
            spent_s = time.process_time() - start
            every.add(spent_s)
            if found:
                reporting.add(spent_s)
    return {"every frame": summarize(every), "frames that report": summarize(reporting)}


def main() -> None:
    """Prints the latency table and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--video", type=Path, help="play this one instead of rendering one")
    parser.add_argument("--model", help="default: that of the library")
    parser.add_argument("--keep", type=Path, help="folder for the rendered video, which another run then plays")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, load(choose_model(flags.model)) as model:
        path = flags.video
        if path is None:
            path = (flags.keep or Path(temporary)) / f"SURROGATE_live_{flags.seconds:.0f}s.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                render(path, flags.seconds)
        played = play(path, model, flags.seconds)
        processor = measure_processor(path, model)
    rendered = "SURROGATE: a rendered person" if flags.video is None else str(path)
    print(describe_machine())
    print(f"{rendered}; model {model.description.name} ({model.description.provenance})")
    print(
        f"{played['frames']} frames, {played['dropped']} dropped ({played['dropped_share']:.1%}); load average "
        f"{played['load_average'][0]:.1f} to {played['load_average'][1]:.1f}; movements {played['kinds']}; "
        f"{played['processor_ms_per_frame']:.1f} ms of processor a frame, reading included"
    )
    names = {
        "frame_to_analysed_ms": "frame to analysed", "frame_to_answer_ms": "frame to answer",
        "frame_to_class_ms": "of them with a class", "offset_to_known_ms": "offset to certain, by design",
    }  # fmt: skip
    rows = [[title, *map(str, played[name].values())] for name, title in names.items()]
    rows += [[f"processor, {name}", *map(str, each.values())] for name, each in processor.items()]
    print(format_table(["ms", "count", "median", "95 %", "longest"], rows))
    if flags.json:
        record = {"video": "surrogate" if flags.video is None else str(path), **played, "processor_ms": processor}
        flags.json.write_text(json.dumps({"machine": describe_machine(), **record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
