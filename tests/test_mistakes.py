import io
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.mistakes import find_confused_pairs, group_clips
from mer_jax.report.mistakes import draw_difficulty, draw_errors
from tests.toy_results import make_result, make_shown_clip


def test_confused_pairs_known_answers():
    result = make_result("loso", 0.7)
    pairs = find_confused_pairs(result)
    confusion = np.array(result.scores()["confusion"])
    assert sum(pair.count for pair in pairs) == confusion.sum() - np.trace(confusion)
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)
    first = pairs[0]
    true, given = (result.class_names.index(name) for name in (first.true, first.given))
    assert first.count == confusion[true, given] == len(first.clips)
    assert first.share == pytest.approx(confusion[true, given] / confusion[true].sum())
    certainty = dict(zip(result.clip_id, result.probabilities[:, given], strict=True))
    assert [certainty[clip] for clip in first.clips] == sorted((certainty[c] for c in first.clips), reverse=True)


@pytest.mark.parametrize(("missing", "what"), [("probabilities", "probabilities"), ("clip_id", "clip ids")])
def test_confused_pairs_need_probabilities_and_clip_ids(missing, what):
    result = make_result("loso", 0.7)
    result = replace(result, stated=result.predicted, **{missing: () if missing == "clip_id" else None})
    with pytest.raises(PredictionsError, match=f"loso lacks {what}; expected both"):
        find_confused_pairs(result)


def test_groups_of_clips_known_answers():
    result = make_result("loso", 0.7)
    # 100 clips have a value: 20 in each fifth. The middle fifth is all right.
    clips = result.clip_id[:100]
    values = {clip: float(number) for number, clip in enumerate(clips)}
    predicted = result.predicted.copy()
    predicted[40:60] = result.true[40:60]
    groups = group_clips(replace(result, stated=predicted, probabilities=None), values)
    assert [group.median for group in groups] == [9.5, 29.5, 49.5, 69.5, 89.5]
    assert groups[2].accuracy == groups[2].interval.high == 1.0
    assert groups[0].accuracy == pytest.approx(result.correct[:20].mean())
    assert groups[0].interval.low < groups[0].accuracy < groups[0].interval.high
    number = len(set(result.subject[:20]))
    assert groups[0].interval.method == f"effective-sample Wilson over {number} people"
    unknown = group_clips(replace(result, subject=()), values)[0].interval
    assert unknown.method == "Wilson score, 20 clips"
    assert group_clips(result, dict(list(values.items())[:9])) == []
    assert group_clips(result, dict.fromkeys(clips, 1.0)) == []


def test_errors_are_drawn_with_and_without_attention():
    pair = find_confused_pairs(make_result("loso", 0.7))[0]
    with_colour = draw_errors([(pair, [make_shown_clip()] * 3)], "surrogate")
    without = draw_errors([(pair, [make_shown_clip(False)])], "surrogate")
    saturation = [
        np.ptp(matplotlib.image.imread(io.BytesIO(each))[100:-60, ..., :3], axis=-1) > 0.2
        for each in (with_colour, without)
    ]
    assert saturation[0].sum() > 10 * saturation[1].sum()


def test_difficulty_needs_clips_and_a_property_that_varies():
    result = make_result("loso", 0.7)
    amplitude = {clip: float(number) for number, clip in enumerate(result.clip_id)}
    assert draw_difficulty([result], {"amplitude, %": amplitude, "frames": amplitude}, "surrogate")[:4] == b"\x89PNG"
    assert draw_difficulty([result], {"amplitude, %": dict.fromkeys(amplitude, 3.0)}, "surrogate") is None
    assert draw_difficulty([result], {"amplitude, %": {}}, "surrogate") is None
    assert draw_difficulty([result], {}, "surrogate") is None
