import io

import matplotlib.image
import numpy as np
import pytest

from mer_jax.report.mistakes import ShownClip, draw_difficulty, draw_errors, find_confused_pairs
from tests.test_report import make_result


def test_confused_pairs_known_answers():
    result = make_result("loso", 0.7)
    pairs = find_confused_pairs(result)
    confusion = np.array(result.entry["confusion"])
    assert sum(pair.count for pair in pairs) == confusion.sum() - np.trace(confusion)
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)
    first = pairs[0]
    true, given = (result.class_names.index(name) for name in (first.true, first.given))
    assert first.count == confusion[true, given] == len(first.clips)
    assert first.share == pytest.approx(confusion[true, given] / confusion[true].sum())
    certainty = dict(zip(result.clip_id, result.probabilities[:, given], strict=True))
    assert [certainty[clip] for clip in first.clips] == sorted((certainty[c] for c in first.clips), reverse=True)


def shown(spatial=True):
    face = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
    attention = np.random.default_rng(0).random((42, 42)), np.ones(6)
    return ShownClip("s1_x", "a", "b", 0.9, face, 7, *(attention if spatial else (None, None)))


def test_errors_are_drawn_with_and_without_attention():
    pair = find_confused_pairs(make_result("loso", 0.7))[0]
    with_colour = draw_errors([(pair, [shown(), shown(), shown()])], "surrogate")
    without = draw_errors([(pair, [shown(False)])], "surrogate")
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
