"""The rules of the spotter, on motion that is known."""

import dataclasses
import pickle

import numpy as np
import pytest

from mer_jax.spotting.disturbances import find_reversals
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import BLINK, GAZE, MACRO, MICRO, SPEECH, TURN
from mer_jax.spotting.options import SpottingOptions
from mer_jax.spotting.series import Span, find_runs, rolling_median, sample_motion
from mer_jax.spotting.spotter import Spotter
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.region_motion import REGIONS, FaceMotion
from tests.face_clips import read_clip

_BROWS = [REGIONS.index(f"inner brow {side}") for side in ("right", "left")]
_MOUTH = [REGIONS.index(name) for name in ("lower lip", "chin")]
_CHEEKS = [REGIONS.index(f"cheek {side}") for side in ("right", "left")]
_IRISES = [REGIONS.index(f"iris {side}") for side in ("right", "left")]


def bump(times, onset_s, offset_s):
    """0 outside of an interval, 1 in its middle."""
    return np.where((times > onset_s) & (times < offset_s), np.sin(np.pi * (times - onset_s) / (offset_s - onset_s)), 0)


class Film:
    """The motion of a face that is at rest but for camera noise."""

    def __init__(self, duration_s=20.0, rate=30.0, seed=0, times=None):
        self.times = np.arange(round(duration_s * rate)) / rate if times is None else times
        rng = np.random.default_rng(seed)
        shape = (len(self.times), len(REGIONS), 2)
        self.regions = 0.05 * rng.standard_normal(shape)
        self.aperture = np.full((len(self.times), 2), 0.3) + 0.004 * rng.standard_normal((len(self.times), 2))
        self.head = np.zeros((len(self.times), 6))

    def move(self, regions, onset_s, offset_s, percent, axis=1):
        self.regions[:, regions, axis] += percent * bump(self.times, onset_s, offset_s)[:, None]
        return self

    def motions(self):
        return [FaceMotion(*each) for each in zip(self.regions, self.aperture, self.head, strict=True)]

    def spot(self, **options):
        spotter, found = Spotter(SpottingOptions(**options)), []
        for time_s, motion in zip(self.times, self.motions(), strict=True):
            found += spotter.push(float(time_s), motion)
        return found + spotter.finish()


def overlap(interval, film, onset_s, offset_s):
    """Intersection over union with an interval in seconds."""
    begin, end = film.times[interval.onset_frame], film.times[interval.offset_frame]
    inter = max(0.0, min(end, offset_s) - max(begin, onset_s))
    return inter / (max(end, offset_s) - min(begin, onset_s))


@pytest.mark.parametrize("rate", [25.0, 30.0, 60.0, 100.0, 200.0])
def test_a_short_and_a_long_expression_are_found_at_every_rate(rate):
    film = Film(rate=rate).move(_BROWS, 6.0, 6.42, -2.0).move(_CHEEKS, 12.0, 13.5, -4.0)
    short, long = film.spot()
    assert (short.kind, long.kind) == (MICRO, MACRO)
    assert overlap(short, film, 6.0, 6.42) > 0.7
    assert overlap(long, film, 12.0, 13.5) > 0.7
    assert film.times[short.apex_frame] == pytest.approx(6.21, abs=0.08)
    assert short.score > 1


def test_a_varying_rate_is_no_matter():
    steps = np.random.default_rng(3).uniform(0.02, 0.08, 500)
    film = Film(times=np.cumsum(steps)).move(_BROWS, 6.0, 6.45, -2.0)
    (found,) = film.spot()
    assert found.kind == MICRO
    assert overlap(found, film, 6.0, 6.45) > 0.6


@pytest.mark.parametrize("seed", range(3))
def test_a_face_at_rest_has_nothing(seed):
    film = Film(duration_s=30.0, seed=seed)
    film.regions += 0.5 * np.sin(2 * np.pi * film.times / 15)[:, None, None]  # it slowly comes to rest elsewhere
    assert film.spot() == []


def test_a_face_that_stays_as_it_is_after_a_movement_has_no_expression():
    film = Film()
    film.regions[film.times > 8.0] += 1.5
    assert film.spot() == []


def test_a_blink_is_one_and_hides_no_movement_of_other_regions():
    film = Film().move(_BROWS, 7.95, 8.35, -2.5)
    film.aperture *= (1 - 0.9 * bump(film.times, 8.0, 8.3))[:, None]
    film.aperture *= (1 - 0.9 * bump(film.times, 14.0, 14.2))[:, None]
    found = film.spot()
    assert sorted(each.kind for each in found) == [BLINK, BLINK, MICRO]
    (expression,) = (each for each in found if each.kind == MICRO)
    assert overlap(expression, film, 7.95, 8.35) > 0.5


def test_speech_is_one_interval_and_no_expression():
    film = Film()
    words = np.abs(np.sin(2 * np.pi * 2.0 * film.times)) * (bump(film.times, 6.0, 9.0) > 0)
    film.regions[:, _MOUTH, 1] += 5 * words[:, None]
    (found,) = film.spot()
    assert found.kind == SPEECH
    assert overlap(found, film, 6.0, 9.0) > 0.7


def test_a_glance_moves_both_irises_at_once():
    film = Film()
    away = (film.times > 6) & (film.times < 7.5)
    film.regions[np.ix_(np.flatnonzero(away), _IRISES, [0])] += 3.0
    (found,) = film.spot()
    assert found.kind == GAZE
    assert overlap(found, film, 6.0, 7.5) > 0.8


@pytest.mark.parametrize(("column", "amount"), [(0, 0.2), (3, 8.0), (4, -6.0), (5, 10.0)])
def test_a_turn_is_one_and_what_it_fakes_is_no_expression(column, amount):
    film = Film().move(_CHEEKS, 8.0, 9.5, 2.5)
    film.head[:, column] += amount * bump(film.times, 8.0, 9.5)
    (found,) = film.spot()
    assert found.kind == TURN
    assert overlap(found, film, 8.0, 9.5) > 0.6


def test_a_cut_is_no_expression():
    film = Film()
    spotter, found = Spotter(), []
    film.regions[film.times > 10.0] += 3.0
    cut = int(np.flatnonzero(film.times > 10.0)[0])
    for index, (time_s, motion) in enumerate(zip(film.times, film.motions(), strict=True)):
        found += spotter.push(float(time_s), dataclasses.replace(motion, is_linked=index not in (0, cut)))
    assert found + spotter.finish() == []


def test_frames_without_a_face_are_counted_and_an_interval_is_reported_once():
    film = Film(duration_s=40.0).move(_BROWS, 30.0, 30.4, -2.0)
    spotter, found = Spotter(face_id=2), []
    for index, (time_s, motion) in enumerate(zip(film.times, film.motions(), strict=True)):
        found += spotter.push(float(time_s), None if 100 <= index < 200 else motion)
    found += spotter.finish()
    (one,) = found
    assert one.face_id == 2
    assert overlap(one, film, 30.0, 30.4) > 0.6


def test_an_expression_that_a_later_look_calls_by_its_other_kind_is_reported_once(monkeypatch):
    """The second look takes the movement for a longer one, whose apex comes after what the first one reported."""
    looks = [
        [(MICRO, Span(200, 215, 208, 2.0))],
        [(MACRO, Span(205, 260, 250, 3.0)), (BLINK, Span(210, 214, 250, 2.0))],
    ]
    monkeypatch.setattr("mer_jax.spotting.spotter.find_movements", lambda series, options: looks.pop(0))
    film, found = Film(), []
    spotter = Spotter(SpottingOptions(hop_s=100.0))
    for time_s, motion in zip(film.times[:300], film.motions(), strict=False):
        found += spotter.push(float(time_s), motion)
    found += spotter._look(5.5)
    found += spotter.finish()
    assert looks == []
    assert [each.kind for each in found] == [MICRO, BLINK]


def test_a_face_that_has_gone_is_forgotten_when_its_movements_are_certain():
    frames, gone = read_clip("bbaf2n", 0, 30), np.zeros((288, 360), np.uint8)
    spotter, options = FaceSpotter(), SpottingOptions()
    with FaceLandmarker() as landmarker:
        for index, frame in enumerate(frames):
            gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            spotter.push(index / 25, gray, {0: landmarker.detect(frame)}, frame=index)
    last_s = 29 / 25
    for index, away_s in enumerate((1.0, options.delay_s + options.hop_s - 0.1), 30):
        spotter.push(last_s + away_s, gone, {}, frame=index)
        assert len(spotter._faces) == 1
    spotter.push(last_s + options.delay_s + options.hop_s + 0.1, gone, {}, frame=32)
    assert len(spotter._faces) == 0
    assert spotter.finish() == []


def test_memory_and_delay_do_not_grow():
    options = SpottingOptions(window_s=10.0, hop_s=2.0)
    film, spotter, delays, sizes = Film().move(_BROWS, 10.0, 10.4, -2.0), Spotter(options), [], []
    motions = film.motions()
    for lap in range(4):
        for time_s, motion in zip(film.times, motions, strict=True):
            found = spotter.push(20.0 * lap + float(time_s), motion)
            delays += [float(time_s) - 10.4 for each in found if each.kind == MICRO]
        sizes.append(len(pickle.dumps(spotter)))
    assert len(delays) == 4
    assert max(delays) <= options.delay_s + options.hop_s
    assert max(sizes) < 1.1 * sizes[0]


def test_few_frames_are_no_error():
    spotter = Spotter()
    assert spotter.finish() == []
    for index, motion in enumerate(Film().motions()[:3]):
        assert spotter.push(index / 30, motion) == []
    assert spotter.finish() == []


def test_series_are_regular_and_name_their_holes():
    film = Film(times=np.r_[np.arange(60) / 30, 4 + np.arange(60) / 30])
    series = sample_motion(film.times, film.motions(), 40.0)
    np.testing.assert_allclose(np.diff(series.times_s), 1 / 40)
    known = series.times_s[series.is_known]
    assert not ((known > 2.0) & (known < 3.99)).any()
    assert series.is_known.mean() > 0.6


def test_medians_follow_slowly_and_ignore_what_is_short():
    values = np.where(np.arange(400) % 200 < 20, 5.0, 1.0)
    np.testing.assert_allclose(rolling_median(values, 40.0, 4.0), 1.0)
    assert rolling_median(values[:1], 40.0, 4.0).tolist() == [5.0]


def test_runs_and_reversals():
    assert find_runs(np.zeros(3, bool)) == []
    assert find_runs(np.array([False, True, True])) == [(1, 2)]
    assert find_reversals(np.zeros(5), 1.0) == []
    assert len(find_reversals(2 * np.sin(np.arange(200) / 5), 1.0)) == 12
