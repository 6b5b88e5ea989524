import os

import cv2
import numpy as np
import pytest

from mer_jax.vision.landmarks import IBUG_68, FaceLandmarker, Landmarks, ibug_from_mesh, interocular_distance
from tests.face_clips import CLIPS, FACES, read_clip

# The iBUG point that mirrors each of the 68.
MIRROR = np.concatenate(
    [
        [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17],
        [27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],
        [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],
    ]
)


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as landmarker:
        yield landmarker


def frame_of(clip: str, index: int = 0) -> np.ndarray:
    return read_clip(clip, index, index + 1)[0]


def test_the_map_has_68_distinct_points_of_the_canonical_mesh():
    assert IBUG_68.shape == (68, 2)
    assert len({tuple(pair) for pair in IBUG_68.tolist()}) == 68
    assert IBUG_68.min() >= 0
    assert IBUG_68.max() < 468


def test_points_are_read_between_their_two_vertices():
    mesh = np.arange(468 * 3, dtype=np.float32).reshape(468, 3)
    points = ibug_from_mesh(mesh)
    np.testing.assert_array_equal(points[8], mesh[152])
    np.testing.assert_array_equal(points[1], (mesh[137] + mesh[234]) / 2)
    assert Landmarks(np.zeros((478, 3), np.float32)).ibug.shape == (68, 2)


@pytest.mark.parametrize("clip", CLIPS)
def test_points_agree_with_an_independent_detector(landmarker, clip):
    theirs = np.load(FACES / f"dlib68_{clip}.npz")["lm"]
    errors = []
    for frame, points in zip(read_clip(clip), theirs, strict=True):
        ours = landmarker.detect(frame).ibug
        outer_eyes = np.linalg.norm(points[36] - points[45])
        errors.append(np.linalg.norm(ours - points, axis=1).mean() / outer_eyes)
    assert np.median(errors) <= 0.05


def test_a_mirrored_picture_gives_mirrored_points(landmarker):
    frame = frame_of("lbax4n")
    ours = landmarker.detect(frame).ibug
    mirrored = landmarker.detect(np.ascontiguousarray(frame[:, ::-1])).ibug[MIRROR]
    mirrored[:, 0] = frame.shape[1] - 1 - mirrored[:, 0]
    difference = np.linalg.norm(ours - mirrored, axis=1).mean() / interocular_distance(ours)
    assert difference < 0.03


def test_points_move_with_the_picture_and_are_the_same_twice(landmarker):
    frame = frame_of("bbaf2n")
    first = landmarker.detect(frame)
    np.testing.assert_array_equal(first.mesh, landmarker.detect(frame).mesh)
    assert first.mesh.shape == (478, 3)
    assert first.mesh.dtype == np.float32
    moved = landmarker.detect(cv2.warpAffine(frame, np.float32([[1, 0, 20], [0, 1, -10]]), frame.shape[1::-1]))
    np.testing.assert_allclose((moved.ibug - first.ibug).mean(axis=0), [20, -10], atol=0.7)


def test_camera_noise_moves_the_points_little(landmarker):
    frame = cv2.resize(frame_of("bbaf2n"), None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    noisy = [np.clip(frame + rng.normal(0, 2.5, frame.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    points = np.stack([landmarker.detect(each).ibug for each in noisy])
    jitter = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=2).mean()) / interocular_distance(points[0])
    assert jitter < 0.0015  # .0020 without the detector's blur


def test_more_views_steady_the_points_where_they_are(landmarker):
    frame = cv2.resize(frame_of("swiz3n"), None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    noisy = [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    jitter = {}
    for views in (1, 4):
        points = np.stack([landmarker.detect(each, views=views).ibug for each in noisy])
        jitter[views] = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=2).mean())
    assert jitter[4] < 0.75 * jitter[1]
    once, often = landmarker.detect(frame), landmarker.detect(frame, views=4)
    assert np.linalg.norm(once.ibug - often.ibug, axis=1).mean() < 0.02 * interocular_distance(once.ibug)
    np.testing.assert_array_equal(often.mesh, landmarker.detect(frame, views=4).mesh)
    pair = np.concatenate([cv2.resize(frame, None, fx=0.8, fy=0.8)] * 2, axis=1)
    assert len(landmarker.detect_all(pair, views=2)) == 2
    with pytest.raises(ValueError, match="views is 9; it must be from 1 to 8"):
        landmarker.detect(frame, views=9)


def test_of_two_faces_the_larger_is_taken_and_both_are_counted(landmarker):
    large, small = frame_of("lbax4n"), cv2.resize(frame_of("bbaf2n"), None, fx=0.8, fy=0.8)
    small = cv2.copyMakeBorder(small, 0, 288 - small.shape[0], 0, 0, cv2.BORDER_REPLICATE)
    alone = landmarker.detect(large)
    assert alone.num_faces == 1
    for pictures, left_edge in (((small, large), small.shape[1]), ((large, small), 0)):
        found = landmarker.detect(np.concatenate(pictures, axis=1))
        assert found.num_faces == 2
        assert np.abs(found.ibug - alone.ibug - [left_edge, 0]).max() < 6


def test_a_face_of_40_pixels_is_found_in_a_small_frame(landmarker):
    frame = frame_of("lbax4n")
    small = cv2.resize(frame, None, fx=40 / 120, fy=40 / 120, interpolation=cv2.INTER_AREA)
    canvas = np.full((288, 360, 3), 128, np.uint8)
    canvas[80 : 80 + small.shape[0], 100 : 100 + small.shape[1]] = small
    found = landmarker.detect(canvas)
    assert 30 < np.ptp(found.mesh[:, 0]) < 50
    expected = landmarker.detect(frame).ibug / 3 + [100, 80]
    assert np.linalg.norm(found.ibug - expected, axis=1).mean() < 1.5


@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_no_face_is_none(landmarker, kind):
    frame = {
        "black": np.zeros((480, 640, 3), np.uint8),
        "white": np.full((480, 640, 3), 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8),
    }[kind]
    assert landmarker.detect(frame) is None


def test_blendshapes_only_on_request(landmarker):
    frame = frame_of("lbax4n", 30)
    assert landmarker.detect(frame).blendshapes is None
    with FaceLandmarker(with_blendshapes=True) as telling:
        scores = telling.detect(frame).blendshapes
    assert len(scores) == 52
    assert all(0 <= score <= 1 for score in scores.values())
    assert "browInnerUp" in scores


def test_head_pose_turns_with_the_picture(landmarker):
    frame = frame_of("lbax4n")
    assert landmarker.detect(frame).pose is None
    height, width = frame.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -15, 1.0)  # clockwise
    with FaceLandmarker(with_pose=True) as telling:
        straight = telling.detect(frame).pose
        mirrored = telling.detect(np.ascontiguousarray(frame[:, ::-1])).pose
        turned = telling.detect(cv2.warpAffine(frame, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)).pose
        np.testing.assert_array_equal(telling.detect(frame).mesh, landmarker.detect(frame).mesh)
    assert max(abs(straight.yaw), abs(straight.pitch), abs(straight.roll)) < 8
    assert abs(mirrored.yaw + straight.yaw) < 1
    assert abs(mirrored.roll + straight.roll) < 1
    assert abs(turned.roll - straight.roll - 15) < 2


def test_all_faces_come_widest_first(landmarker):
    small = cv2.resize(frame_of("bbaf2n"), None, fx=0.8, fy=0.8)
    small = cv2.copyMakeBorder(small, 0, 288 - small.shape[0], 0, 0, cv2.BORDER_REPLICATE)
    pair = np.concatenate([small, frame_of("lbax4n")], axis=1)
    wide, narrow = landmarker.detect_all(pair)
    assert wide.width_px > narrow.width_px
    assert wide.box[0] > narrow.box[2]
    np.testing.assert_array_equal(landmarker.detect(pair).mesh, wide.mesh)


def test_a_closed_landmarker_says_so():
    landmarker = FaceLandmarker()
    landmarker.close()
    with pytest.raises(RuntimeError, match="this FaceLandmarker is closed"):
        landmarker.detect(np.zeros((48, 64, 3), np.uint8))


# JAX, which other tests have loaded, is not used in the child.
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # forking is what is tested
def test_a_forked_landmarker_refuses_instead_of_hanging(landmarker):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no pytest code may run here
        try:
            landmarker.detect(np.zeros((48, 64, 3), np.uint8))
        except RuntimeError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert "created in another process" in pipe.read()
