"""Predicted videos, with and without intervals, for tests of files and pages."""

import numpy as np

from mer_jax.prediction.result import Prediction
from mer_jax.prediction.video import PredictedInterval, PredictedVideo
from mer_jax.spotting.interval import Interval
from tests.toy_models import NAMES


def make_interval(
    onset, offset, label="positive", *, rate=50.0, apex=None, face_id=0, kind="micro", provenance="surrogate"
):
    """An interval with an answer, or without one where `label` is None."""
    shares = (0.1, 0.7, 0.2) if label else (0.3, 0.4, 0.3)
    answer = Prediction(
        label=label,
        best_guess="positive",
        probabilities=dict(zip(NAMES, shares, strict=True)),
        confidence=max(shares),
        abstained=() if label else ('confidence 0.40 is below 0.60, "low" & <unsure>',),
        onset_frame=onset,
        offset_frame=offset,
        frames_used=(onset, offset),
        face_box=(10.0, 10.0, 60.0, 70.0),
        verdict="ok",
        provenance=provenance,
    )
    return PredictedInterval(
        interval=Interval(
            onset_frame=onset, offset_frame=offset, apex_frame=apex, face_id=face_id, kind=kind, score=0.5
        ),
        prediction=answer,
        onset_s=onset / rate,
        apex_s=None if apex is None else apex / rate,
        offset_s=offset / rate,
        end_s=(offset + 1) / rate,
    )


def make_video(*intervals, path="/data/a film.mp4", num_frames=500, rate=50.0, provenance="surrogate"):
    """A video of ten seconds."""
    return PredictedVideo(
        name=path.rsplit("/", 1)[-1],
        path=path,
        times_s=np.arange(num_frames) / rate,
        frame_s=1 / rate,
        width=640,
        height=480,
        intervals=intervals,
        corrections=(),
        model="toy",
        class_names=NAMES,
        provenance=provenance,
        threshold=0.6,
    )


def make_busy_video(**fields):
    """Two faces, two kinds, an overlap, an interval without an answer, and one at each end of the video."""
    return make_video(
        make_interval(0, 14, apex=6),
        make_interval(10, 20, None),
        make_interval(100, 115, "surprise", face_id=1),
        make_interval(200, 210, kind="blink"),
        make_interval(490, 499, "negative"),
        **fields,
    )
