"""Face regions followed in pictures: rendered ones, whose motion is known, and talking people."""

import numpy as np
import pytest

from datasets.surrogate.camera import Camera
from datasets.surrogate.casme_squared import GEOMETRY
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.renderer import FaceState
from datasets.surrogate.scenario import LEFT, RIGHT
from datasets.surrogate.studio import make_renderer
from mer_jax.prediction.watching import spot_video
from mer_jax.spotting.interval import BLINK, EXPRESSIONS, SPEECH
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.region_motion import REGIONS, RegionTracker
from mer_jax.vision.remembered import RememberedFrames
from mer_jax.vision.video import VideoFrames
from tests.face_clips import CLIPS, FACES, read_clip

_RATE = 30.0
_GEOMETRY = GEOMETRY.scaled(0.6)


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as created:
        yield created


@pytest.fixture(scope="module")
def film():
    """Frames of a face that raises its inner brows by 2 % IOD in the middle, while the head drifts by far more."""
    renderer, camera = make_renderer(sample_subject(7, 3), _GEOMETRY), Camera(_GEOMETRY.shape, _GEOMETRY.noise)
    frames = []
    for index in range(24):
        amount = 0.02 * np.exp(-0.5 * ((index - 12) / 3) ** 2)
        drift = 0.002 * index
        state = FaceState(
            activations={("1", side): amount for side in (RIGHT, LEFT)}, pose=(drift, drift / 2, drift / 4, 0, 0, drift)
        )
        frames.append(camera.expose(renderer.render(state), 1.0, np.random.default_rng([1, index])))
    return np.stack(frames)


def track(frames, landmarker, step=2):
    tracker = RegionTracker()
    motions = []
    for index, frame in enumerate(frames):
        face = landmarker.detect(frame) if index % step == 0 else None
        motions.append(tracker.track(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), index / _RATE, face))
    return motions


def test_brows_rise_and_the_rest_is_still_though_the_head_moves(film, landmarker):
    motions = track(film, landmarker)
    regions = np.stack([each.regions for each in motions])
    brows = [REGIONS.index(f"inner brow {side}") for side in ("right", "left")]
    rise = -regions[:, brows, 1].mean(axis=1)
    assert abs(int(rise.argmax()) - 12) <= 1
    assert 0.8 < rise.max() < 2.4  # the 2 % are those of the middle of the moved area
    assert abs(rise[-1]) < 0.3
    far = [REGIONS.index(name) for name in ("chin", "mouth corner right", "mouth corner left", "lower lip")]
    assert np.abs(regions[:, far]).max() < 0.5
    assert motions[-1].head[0] == pytest.approx(0.002 * 23, abs=0.015)
    assert [each.is_linked for each in motions] == [False] + [True] * 23


def test_a_face_that_was_lost_is_measured_on_when_it_is_back(film, landmarker):
    frames = film.copy()
    frames[8:12] = 90
    motions = track(frames, landmarker, step=1)
    assert [each is None for each in motions] == [8 <= index < 12 for index in range(24)]
    assert [index for index, each in enumerate(motions) if each and not each.is_linked] == [0, 12]


def test_without_a_face_there_is_no_motion(landmarker):
    assert track(np.full((3, 120, 160, 3), 128, np.uint8), landmarker) == [None] * 3


@pytest.mark.parametrize("name", CLIPS)
def test_people_who_talk_are_said_to_talk_and_to_express_nothing(name, landmarker):
    with VideoFrames(FACES / f"{name}.mpg") as frames:
        found = spot_video(frames, landmarker, frames.time_s)
    speech = [each for each in found if each.kind == SPEECH]
    assert len(speech) == 1
    assert speech[0].offset_frame - speech[0].onset_frame > 40
    assert not [each for each in found if each.kind in EXPRESSIONS]
    if name == "lbax4n":
        assert [each.kind for each in found if each.kind == BLINK] == [BLINK]


def test_two_faces_have_intervals_of_their_own(landmarker):
    frames = read_clip("lbax4n", 0, 50)
    two = np.concatenate([frames, frames[:, :, ::-1]], axis=2)
    found = spot_video(ArrayFrames(two), landmarker, lambda index: index / 25)
    assert {each.face_id for each in found if each.kind == SPEECH} == {0, 1}
    assert set(found.values()) == {"1", "2"}


def test_frames_are_remembered_up_to_a_limit():
    class Counted(ArrayFrames):
        reads = 0

        def __getitem__(self, index):
            Counted.reads += 1
            return super().__getitem__(index)

    pictures = np.arange(10 * 4 * 4 * 3, dtype=np.uint8).reshape(10, 4, 4, 3)
    frames = RememberedFrames(Counted(pictures), usual_bytes=0, fewest_frames=4)
    for _ in range(3):
        for index in range(4):
            np.testing.assert_array_equal(frames[index], pictures[index])
    assert Counted.reads == 4
    assert frames.gray(3).shape == (4, 4)
    assert frames[9].shape == (4, 4, 3)
    assert frames[0].shape == (4, 4, 3)
    assert Counted.reads == 6
    assert (len(frames), frames.timestamps_s, frames.corrections) == (10, None, ())
    for index in (3, 5, 3, 6, 7, 3):  # 0, 9 and 3 were there; whatever is read again stays
        np.testing.assert_array_equal(frames[index], pictures[index])
    assert Counted.reads == 9
    limited = RememberedFrames(Counted(pictures), usual_bytes=0, fewest_frames=4, most_bytes=2 * 48)
    many = RememberedFrames(Counted(pictures), usual_bytes=6 * 48, fewest_frames=4)
    for index in range(8):
        assert limited[index].shape == many[index].shape
    assert (list(limited._kept), list(many._kept)) == ([6, 7], [2, 3, 4, 5, 6, 7])
