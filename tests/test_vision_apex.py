import numpy as np
import pytest

from datasets.surrogate.camera import Camera
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.scenario import DIFFICULTIES, UNIT_SETS, sample_clip
from datasets.surrogate.smic import GEOMETRY
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.errors import ConfigError
from mer_jax.vision.apex import HALF_INTERVAL_S, movement_curve, spot_apex
from mer_jax.vision.crop import box_crop, transform_points
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import prepare_clip
from tests.face_clips import read_clip

CLIPS = 4


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as landmarker:
        yield landmarker


@pytest.fixture(scope="module")
def clips():
    """Frames of rendered clips, and their apex."""
    camera = Camera(GEOMETRY.shape, GEOMETRY.noise)
    made = []
    for number in range(CLIPS):
        subject = sample_subject(11, number, GEOMETRY.tones)
        rng = np.random.default_rng([11, number])
        name = list(UNIT_SETS)[number % len(UNIT_SETS)]
        spec = sample_clip(rng, subject, name, DIFFICULTIES["medium"], fps=GEOMETRY.fps, duration_s=GEOMETRY.duration_s)
        renderer = make_renderer(subject, GEOMETRY)
        frames = render_clip(renderer, camera, spec)
        made.append((np.stack([frame.image for frame in frames]), spec.apex))
    return made


def all_faces(clip, landmarker):
    prepared = prepare_clip(ArrayFrames(clip), VisionOptions(num_frames=len(clip), mask="none"), landmarker)
    return prepared.faces, transform_points(box_crop(prepared.landmarks), prepared.landmarks)


def test_the_apex_of_rendered_clips_is_found(clips, landmarker):
    errors, middle_errors = [], []
    for clip, apex in clips:
        faces, ibug = all_faces(clip, landmarker)
        errors.append(abs(spot_apex(faces, ibug) - apex))
        middle_errors.append(abs(len(clip) // 2 - apex))
    assert np.mean(errors) <= 2
    assert np.mean(errors) < np.mean(middle_errors)


def test_sampling_around_the_apex_spots_it_where_it_is_not_given(clips, landmarker):
    clip, apex = clips[3]
    options = VisionOptions(sampling="apex")
    spotted = prepare_clip(ArrayFrames(clip), options, landmarker)
    assert abs(spotted.quality["apex_frame"] - apex) <= 3
    assert spotted.frame_indices[9] == spotted.quality["apex_frame"]
    given = prepare_clip(ArrayFrames(clip), options, landmarker, apex=int(spotted.quality["apex_frame"]))
    np.testing.assert_array_equal(given.frame_indices, spotted.frame_indices)
    # The alignment of all frames and that of the picked ones start from different neighbours.
    assert np.abs(given.faces.astype(int) - spotted.faces).mean() < 0.5
    with pytest.raises(ConfigError, match=f"the apex is frame {len(clip)}, but the clip has {len(clip)} frames"):
        prepare_clip(ArrayFrames(clip), options, landmarker, apex=len(clip))


def test_in_a_raw_video_the_expression_is_found_between_still_frames(clips, landmarker):
    rng = np.random.default_rng(0)

    def hold(face, count):
        noisy = face.astype(float) + rng.normal(0, 1.5, (count, 128, 128))
        return np.clip(noisy, 0, 255).astype(np.uint8)

    errors = []
    for clip, apex in clips:
        faces, ibug = all_faces(clip, landmarker)
        video = np.concatenate([hold(faces[0], 60), faces, hold(faces[-1], 90)])
        curve = movement_curve(video, ibug, round(HALF_INTERVAL_S * GEOMETRY.fps))
        assert curve.shape == (len(video),)
        errors.append(abs(int(curve.argmax()) - (60 + apex)))
    assert np.median(errors) <= 5  # of 170 frames and more


def test_the_apex_is_exact_to_the_frame_where_the_motion_is_known(landmarker):
    """A smooth swelling of one cheek in a still picture, largest in frame 9 of 16."""
    picture = read_clip("lbax4n", 0, 1)[0]
    left, top, right, bottom = landmarker.detect(picture).box
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    distance = np.hypot(columns - (0.7 * right + 0.3 * left), rows - (0.35 * top + 0.65 * bottom))
    spot = 30 * np.exp(-0.5 * (distance / 12) ** 2)
    rise = np.exp(-0.5 * ((np.arange(16) - 9) / 2.5) ** 2)
    clip = np.stack([np.clip(picture + share * spot[..., None], 0, 255).astype(np.uint8) for share in rise])
    prepared = prepare_clip(ArrayFrames(clip), VisionOptions(sampling="apex", num_frames=8, mask="none"), landmarker)
    assert prepared.quality["apex_frame"] == 9
    assert prepared.frame_indices[4] == 9
    change = np.abs(prepared.faces.astype(int) - prepared.faces[0]).mean(axis=(1, 2))
    assert change.argmax() == 4
    faces, ibug = all_faces(clip, landmarker)
    assert spot_apex(faces, ibug) == 9
    assert spot_apex(faces, ibug, half_interval=3) == 9


def test_drift_light_and_blinks_do_not_count(clips, landmarker):
    clip, _ = clips[0]
    faces, ibug = all_faces(clip[:2], landmarker)
    still = np.repeat(faces[:1], 20, axis=0).astype(float)
    fading = (still * np.linspace(1, 0.8, 20)[:, None, None]).astype(np.uint8)
    bump = 6 * np.exp(-0.5 * ((np.arange(20) - 7) / 2.0) ** 2)
    moving = fading.astype(float)
    moving[:, 90:110, 50:80] += bump[:, None, None]
    curve = movement_curve(moving.astype(np.uint8), ibug)
    assert abs(int(curve.argmax()) - 7) <= 1
    assert movement_curve(fading, ibug).max() < 0.5 * curve.max()  # gray levels are whole
    eye = transform_box(ibug[36:42])
    blinking = fading.copy()
    blinking[14][eye] = 60
    assert movement_curve(blinking, ibug).max() < 0.6 * curve.max()


def transform_box(points):
    left, top = points.min(axis=0).astype(int)
    right, bottom = points.max(axis=0).astype(int)
    return slice(top, bottom), slice(left, right)


def test_clips_without_movement_have_their_apex_in_the_middle():
    ibug = np.random.default_rng(0).uniform(30, 100, (68, 2))
    for length in (1, 2, 7):
        faces = np.full((length, 128, 128), 90, np.uint8)
        assert spot_apex(faces, ibug) == length // 2
        assert spot_apex(faces, ibug, half_interval=10) == length // 2
    with pytest.raises(ValueError, match="half_interval is 0"):
        spot_apex(np.full((3, 128, 128), 90, np.uint8), ibug, half_interval=0)
