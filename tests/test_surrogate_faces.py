"""Rendered faces before independent judges: MediaPipe, and a linear classifier."""

import cv2
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, cross_val_predict

from datasets.surrogate.action_units import ACTION_UNITS
from datasets.surrogate.camera import Camera, encode_frame
from datasets.surrogate.identity import Subject, sample_subject
from datasets.surrogate.mesh import load_mesh
from datasets.surrogate.renderer import FaceRenderer, FaceState
from datasets.surrogate.scenario import DIFFICULTIES, LEFT, RIGHT, UNIT_SETS, sample_clip
from datasets.surrogate.smic import GEOMETRY
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.vision.landmarks import FaceLandmarker

SEED = 5
NUM_SUBJECTS = 6
POSES = {
    "frontal": FaceState(),
    "eyes closed": FaceState(lid_closure=(1.0, 1.0)),
    "turned away": FaceState(pose=(0.25, 0.15, 0.09, 0.08, 0.12, 0.10)),
    "turned back": FaceState(pose=(-0.25, -0.15, -0.09, -0.08, -0.12, -0.10)),
}


def both_sides(unit: str, amount: float) -> FaceState:
    return FaceState({(unit, RIGHT): amount, (unit, LEFT): amount})


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera(GEOMETRY.shape, GEOMETRY.noise)


@pytest.fixture(scope="module")
def renderers() -> list[FaceRenderer]:
    return [make_renderer(sample_subject(SEED, index, GEOMETRY.tones), GEOMETRY) for index in range(NUM_SUBJECTS)]


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker(with_blendshapes=True) as landmarker:
        yield landmarker


def take_picture(renderer: FaceRenderer, camera: Camera, state: FaceState) -> np.ndarray:
    """A frame as it comes off the disk: with camera noise and JPEG losses."""
    frame = camera.expose(renderer.render(state), 1.0, np.random.default_rng(0))
    encoded = np.frombuffer(encode_frame(frame, GEOMETRY.jpeg_quality), np.uint8)
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_mesh_is_mediapipes():
    mesh = load_mesh()
    assert mesh.vertices.shape == (468, 3)
    assert mesh.triangles.shape == (898, 3)
    assert set(mesh.triangles.ravel()) == set(range(468))
    np.testing.assert_allclose(mesh.vertices[mesh.mirror], mesh.vertices * (-1, 1, 1), atol=1e-5)


def test_mediapipe_finds_the_true_landmarks(renderers, camera, landmarker):
    errors = []
    for index, renderer in enumerate(renderers):
        for name, state in POSES.items():
            found = landmarker.detect(take_picture(renderer, camera, state))
            assert found is not None, f"no face: subject {index}, {name}"
            if name != "eyes closed":  # the true landmarks leave blinks out
                distance = np.linalg.norm(found.mesh[:468, :2] - renderer.landmarks(state), axis=1)
                errors.append(np.median(distance) / renderer.iod)
    assert np.median(errors) < 0.05
    assert max(errors) < 0.08


@pytest.mark.parametrize(
    ("unit", "blendshape", "least"),
    [
        ("1", "browInnerUp", 0.3),
        ("2", "browOuterUp", 0.25),
        ("6", "eyeSquint", 0.1),
        ("7", "eyeSquint", 0.25),
        ("10", "mouthUpperUp", 0.1),
        ("12", "mouthSmile", 0.3),
        ("26", "jawOpen", 0.04),
    ],
)
def test_mediapipes_blendshapes_answer_exaggerated_action_units(renderers, camera, landmarker, unit, blendshape, least):
    changes = blendshape_changes(renderers, camera, landmarker, both_sides(unit, 0.12))
    assert mean_change(changes, blendshape) > least
    # and the expression is the right one of its kind, not any movement
    opposite = {"1": "browDown", "2": "browDown", "12": "mouthFrown", "26": "mouthClose"}.get(unit)
    if opposite:
        assert mean_change(changes, opposite) < mean_change(changes, blendshape) / 2


def test_brow_lowerer_and_blink_are_seen(renderers, camera, landmarker):
    lowered = blendshape_changes(renderers, camera, landmarker, both_sides("4", 0.12))
    assert mean_change(lowered, "browInnerUp") < -0.05
    closed = blendshape_changes(renderers, camera, landmarker, FaceState(lid_closure=(1.0, 1.0)))
    assert mean_change(closed, "eyeBlink") > 0.2


def blendshape_changes(renderers, camera, landmarker, state) -> dict[str, float]:
    """Mean change of each blendshape against the neutral face over a few subjects with visible neutral expressions."""
    changes = []
    for renderer in renderers[:4]:
        neutral, moved = (
            landmarker.detect(take_picture(renderer, camera, each)).blendshapes for each in (FaceState(), state)
        )
        changes.append({name: moved[name] - neutral[name] for name in neutral})
    return {name: float(np.mean([each[name] for each in changes])) for name in changes[0]}


def mean_change(changes: dict[str, float], prefix: str) -> float:
    """Over left and right of a blendshape."""
    return float(np.mean([change for name, change in changes.items() if name.startswith(prefix)]))


def test_amplitude_is_a_fraction_of_the_interocular_distance(renderers):
    renderer = renderers[0]
    moved = renderer.landmarks(both_sides("1", 0.10)) - renderer.landmarks(FaceState())
    inner_brow = moved[[107, 55, 336, 285]].mean(0) / renderer.iod
    assert -0.13 < inner_brow[1] < -0.07  # upwards, by about a tenth
    assert abs(inner_brow[0]) < 0.01
    chin = moved[152] / renderer.iod
    assert np.abs(chin).max() < 1e-3


@pytest.mark.parametrize("unit", ACTION_UNITS)
def test_every_action_unit_changes_the_picture_and_nothing_far_away(renderers, unit):
    renderer = renderers[0]
    neutral = renderer.render(FaceState()).copy()
    change = np.abs(renderer.render(both_sides(unit, 0.05)) - neutral).max(-1)
    assert change.max() > 8
    assert change[-40:].max() == 0  # the shoulders
    assert change[:, :80].max() == 0  # the wall


def test_head_movement_carries_eyes_and_lids_along(renderers):
    renderer = renderers[1]
    shift = 20  # pixels to the right
    pose = (shift / renderer.iod, 0.0, 0.0, 0.0, 0.0, 0.0)
    x, y = renderer.landmarks(FaceState())[[33, 133, 362, 263]].mean(0).astype(int)
    for closure in (0.0, 0.6):
        still = renderer.render(FaceState(lid_closure=(closure, closure))).copy()
        moved = renderer.render(FaceState(lid_closure=(closure, closure), pose=pose)).copy()
        eyes = still[y - 12 : y + 12, x - 60 : x + 60]
        followed = moved[y - 12 : y + 12, x - 60 + shift : x + 60 + shift]
        assert np.abs(followed - eyes).max() < 25, closure


def test_gain_scales_the_action_units_only(renderers, camera):
    subject = sample_subject(SEED, 0, GEOMETRY.tones)
    spec = make_clip(subject, "positive", "easy", 0)
    one, three = (
        next(render_clip(renderers[0], camera, spec, frames=[spec.apex], gain=gain)).state for gain in (1.0, 3.0)
    )
    assert one.pose == three.pose
    assert three.activations == pytest.approx({key: 3 * amount for key, amount in one.activations.items()})


def test_a_frame_does_not_depend_on_the_others(renderers, camera):
    spec = make_clip(sample_subject(SEED, 0, GEOMETRY.tones), "surprise", "medium", 1)
    everything = {frame.index: frame.image for frame in render_clip(renderers[0], camera, spec)}
    assert sorted(everything) == list(range(spec.num_frames))
    alone = next(render_clip(renderers[0], camera, spec, frames=[spec.apex]))
    np.testing.assert_array_equal(alone.image, everything[spec.apex])


def make_clip(subject: Subject, class_name: str, difficulty: str, number: int, version: int = 1):
    rng = np.random.default_rng([SEED, number])
    preset = DIFFICULTIES[difficulty]
    return sample_clip(
        rng, subject, class_name, preset, fps=GEOMETRY.fps, duration_s=GEOMETRY.duration_s, version=version
    )


def classify(difficulty: str, camera: Camera, num_subjects: int = 12, clips_each: int = 15, version: int = 1) -> float:
    """Accuracy of a linear classifier on onset-to-apex difference images, subjects disjoint."""
    images, labels, groups = [], [], []
    for index in range(num_subjects):
        subject = sample_subject(SEED, index, GEOMETRY.tones)
        renderer = make_renderer(subject, GEOMETRY, DIFFICULTIES[difficulty].anatomy_variation, version=version)
        for number in range(clips_each):
            class_name = list(UNIT_SETS)[number % 3]  # balanced: chance is 1/3 whatever the classifier does
            spec = make_clip(subject, class_name, difficulty, 100 * index + number, version)
            onset, apex = render_clip(renderer, camera, spec, frames=[0, spec.apex])
            points = renderer.landmarks(onset.state)
            (x0, y0), (x1, y1) = points.min(0).astype(int), points.max(0).astype(int)
            small = [
                cv2.resize(
                    cv2.cvtColor(frame.image[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY), (24, 24), interpolation=cv2.INTER_AREA
                )
                for frame in (onset, apex)
            ]
            first, last = (each / each.mean() for each in small)
            images.append(((last - first) / first.std()).ravel())
            labels.append(class_name)
            groups.append(index)
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    predicted = cross_val_predict(classifier, np.array(images), labels, groups=groups, cv=GroupKFold(4))
    return float(np.mean(predicted == np.array(labels)))


@pytest.mark.parametrize("version", [1, 2])
def test_null_control_is_at_chance(camera, version):
    # 180 clips, three balanced classes: chance is .33 with a standard error of .035
    assert 0.22 < classify("null", camera, version=version) < 0.45


def test_easy_expressions_are_recognised(camera):
    assert classify("easy", camera, num_subjects=8, clips_each=12) > 0.70


@pytest.mark.parametrize("version", [1, 2])
def test_nothing_but_movement_tells_the_class(version):
    """Durations, apexes, exposure, blinks and poses of 1800 clips hold no class."""
    facts, labels, groups = [], [], []
    for index in range(20):
        subject = sample_subject(SEED, index, GEOMETRY.tones)
        for number in range(90):
            class_name = list(UNIT_SETS)[number % 3]
            spec = make_clip(subject, class_name, "medium", 1000 * index + number, version)
            drift = np.abs(spec.pose[-1] - spec.pose[0])
            timing = (spec.num_frames, spec.apex / spec.num_frames)
            light = (spec.exposure[0], np.ptp(spec.exposure))
            eyes = (spec.lid_closure.max(), np.abs(spec.gaze).max())
            facts.append([*timing, *light, *eyes, *drift])
            labels.append(class_name)
            groups.append(index)
    classifier = LinearDiscriminantAnalysis()
    predicted = cross_val_predict(classifier, np.array(facts), labels, groups=groups, cv=GroupKFold(4))
    assert 0.29 < np.mean(predicted == np.array(labels)) < 0.38  # standard error .011
