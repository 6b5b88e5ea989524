import dataclasses

import cv2
import numpy as np
import pytest

from mer_jax.errors import ConfigError, DecodeError, NoFaceError, SeveralFacesError
from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.crop import EYES_BORDER, eyes_crop, transform_points
from mer_jax.vision.frames import ArrayFrames, FolderFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import CROPS, MASKS, VisionOptions
from mer_jax.vision.prepare import prepare_clip
from tests.face_clips import read_clip

SHORT = VisionOptions(num_frames=4)


class CountingFrames(ArrayFrames):
    """Remembers which frames were asked for."""

    def __init__(self, array):
        super().__init__(array, name="clip s1_ne_01")
        self.asked = set()

    def __getitem__(self, index):
        self.asked.add(int(index))
        return super().__getitem__(index)

    def gray(self, index):
        self.asked.add(int(index))
        return super().gray(index)


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as landmarker:
        yield landmarker


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """30 frames of a talker, RGB."""
    return read_clip("lbax4n", 0, 30)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("sampling", ["uniform", "linear"])
def test_shapes_types_and_determinism(landmarker, clip, crop, sampling):
    options = VisionOptions(crop=crop, sampling=sampling)
    prepared = prepare_clip(ArrayFrames(clip), options, landmarker)
    assert prepared.faces.shape == (18, 128, 128)
    assert prepared.faces.dtype == np.uint8
    assert prepared.landmarks.shape == (68, 2)
    assert prepared.landmarks.dtype == np.float32
    assert (prepared.frame_indices[0], prepared.frame_indices[-1]) == (0, 29)
    assert all(isinstance(value, float) and np.isfinite(value) for value in prepared.quality.values())
    again = prepare_clip(ArrayFrames(clip), options, landmarker)
    np.testing.assert_array_equal(prepared.faces, again.faces)
    assert prepared.quality == again.quality


@pytest.mark.parametrize("crop", [crop for crop in CROPS if crop != "eyes"])
def test_the_face_fills_the_crop_and_the_halves_part_at_the_nose(landmarker, clip, crop):
    prepared = prepare_clip(ArrayFrames(clip), VisionOptions(crop=crop, mask="none"), landmarker)
    enlarged = cv2.cvtColor(cv2.resize(prepared.faces[0], (384, 384)), cv2.COLOR_GRAY2RGB)
    framed = cv2.copyMakeBorder(enlarged, 128, 128, 128, 128, cv2.BORDER_REPLICATE)
    points = (landmarker.detect(framed).ibug - 128) / 3  # the points as the detector sees them in the crop itself
    eyes, brows, mouth = points[36:48, 1], points[17:27, 1], points[48:60, 1]
    assert brows.min() > 15
    assert eyes.max() < 60  # eyes and brows in the upper half
    assert mouth.min() > 68  # the mouth in the lower half
    assert points[8, 1] < 132  # the chin is (nearly) in the picture
    assert abs(points[[39, 42], 0].mean() - 63.5) < 5


def test_the_tight_crop_holds_brows_to_mouth_and_no_jaw(landmarker, clip):
    prepared = prepare_clip(ArrayFrames(clip), VisionOptions(crop="eyes", mask="none"), landmarker)
    points = transform_points(eyes_crop(prepared.landmarks), prepared.landmarks)
    inner = (points >= EYES_BORDER) & (points < FACE_SIZE - EYES_BORDER)
    assert np.delete(inner, [*range(17), 17, 26], axis=0).all()  # all but the jaw and the outer tips of the brows
    assert not inner[[0, 8, 16]].all(axis=1).any()  # temples and chin are outside


def test_a_still_picture_stays_still(landmarker, clip):
    still = np.repeat(clip[:1], 6, axis=0)
    for crop in CROPS:
        faces = prepare_clip(ArrayFrames(still), VisionOptions(num_frames=6, crop=crop), landmarker).faces
        assert np.abs(faces.astype(int) - faces[0]).max() <= 1


def test_the_held_crop_shows_motion_that_registration_takes_away(landmarker, clip):
    drifting = np.stack(
        [
            cv2.warpAffine(clip[0], np.float32([[1, 0, 0.4 * t], [0, 1, -0.3 * t]]), (360, 288), flags=cv2.INTER_CUBIC)
            for t in range(8)
        ]
    )
    change = {}
    for register in (False, True):
        options = VisionOptions(num_frames=8, mask="none", register=register)
        prepared = prepare_clip(ArrayFrames(drifting), options, landmarker)
        change[register] = np.abs(prepared.faces[-1].astype(int) - prepared.faces[0])[20:120, 20:108].mean()
        if register:
            assert 1 < prepared.quality["registration_shift_px"] < 4
            assert prepared.quality["residual_shift_px"] < 0.1
        else:
            assert prepared.quality["residual_shift_px"] > 0.5
    assert change[True] < 0.2 * change[False]


def test_the_mask_is_the_same_in_every_frame(landmarker, clip):
    plain = prepare_clip(ArrayFrames(clip), VisionOptions(mask="none"), landmarker).faces
    for mask in MASKS:
        masked = prepare_clip(ArrayFrames(clip), VisionOptions(mask=mask), landmarker).faces
        share = masked.astype(np.float32) / np.maximum(plain, 1)
        assert np.abs(share - share[0]).max() < 0.06  # rounding of gray levels only
        assert (masked <= plain).all()


def test_only_the_frames_needed_are_decoded(landmarker, clip):
    frames = CountingFrames(clip)
    prepared = prepare_clip(frames, SHORT, landmarker)
    assert frames.asked == {0, 10, 19, 29} == set(prepared.frame_indices.tolist())


def test_a_clip_shorter_than_t_and_a_clip_of_one_frame(landmarker, clip):
    prepared = prepare_clip(ArrayFrames(clip[:5]), VisionOptions(), landmarker)
    assert set(prepared.frame_indices) == set(range(5))
    one = prepare_clip(ArrayFrames(clip[:1]), VisionOptions(sampling="linear"), landmarker)
    assert one.faces.shape == (18, 128, 128)
    assert (one.faces == one.faces[0]).all()


def test_linear_sampling_lies_between_its_neighbours(landmarker, clip):
    options = VisionOptions(num_frames=3, sampling="linear", register=False, mask="none")
    ends = prepare_clip(ArrayFrames(clip[:2]), VisionOptions(num_frames=2, register=False, mask="none"), landmarker)
    middle = prepare_clip(ArrayFrames(clip[:2]), options, landmarker).faces[1]
    np.testing.assert_allclose(middle, ends.faces.astype(float).mean(axis=0), atol=0.51)


def test_gray_and_colour_frames_give_the_same_crop(landmarker, clip):
    colour = prepare_clip(ArrayFrames(clip), SHORT, landmarker)
    gray = prepare_clip(
        ArrayFrames(np.stack([cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in clip])), SHORT, landmarker
    )
    assert np.abs(colour.landmarks - gray.landmarks).mean() < 1
    assert gray.quality["num_faces"] == 1


def test_a_face_that_comes_late_is_found_and_recorded(landmarker, clip):
    late = clip.copy()
    late[:12] = 0
    prepared = prepare_clip(ArrayFrames(late), VisionOptions(num_frames=10), landmarker)
    assert prepared.quality["detected_frame"] == 13  # frames 0, 3, 6, 10 are black
    assert prepared.quality["registration_failures"] == 4
    assert not prepared.faces[:4].any()
    assert prepared.faces[4:].any(axis=(1, 2)).all()
    literal = prepare_clip(ArrayFrames(late), VisionOptions(num_frames=10, crop="per_frame_bbox"), landmarker)
    assert literal.quality["missed_detections"] == 4


def test_no_face_names_the_clip_the_frames_and_the_reason(landmarker):
    black = ArrayFrames(np.zeros((30, 240, 320, 3), np.uint8), name="clip s3_po_02")
    with pytest.raises(
        NoFaceError,
        match=r"no face in clip s3_po_02: examined frames 0, 2, 3, 5, 7 of 30.*is black \(mean gray level 0",
    ):
        prepare_clip(black, VisionOptions(), landmarker)
    with pytest.raises(NoFaceError, match="has no content"):
        prepare_clip(ArrayFrames(np.full((3, 240, 320, 3), 128, np.uint8)), VisionOptions(), landmarker)
    noise = np.random.default_rng(0).integers(0, 255, (3, 240, 320, 3), np.uint8)
    with pytest.raises(NoFaceError, match=r"\(320x240\) may show a profile"):
        prepare_clip(ArrayFrames(noise), VisionOptions(), landmarker)


def test_a_face_40_pixels_wide_is_found_at_once_in_a_small_frame_and_by_a_second_look_in_a_large_one(landmarker, clip):
    small = cv2.resize(clip[0], None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)

    def on_canvas(height, width):
        canvas = np.full((2, height, width, 3), 128, np.uint8)
        canvas[:, 80 : 80 + small.shape[0], 100 : 100 + small.shape[1]] = small
        return ArrayFrames(canvas)

    found = prepare_clip(on_canvas(288, 360), SHORT, landmarker)
    assert 14 < found.quality["interocular_px"] < 24
    assert found.quality["second_look"] == 0
    assert prepare_clip(on_canvas(480, 640), SHORT, landmarker).quality["second_look"] == 1


def test_two_faces_are_counted_and_the_larger_is_prepared(landmarker, clip):
    pair = np.concatenate([clip[:4], clip[:4]], axis=2)
    pair[:, :60, :360] = 128  # one of them a little smaller to see: cut at the forehead
    prepared = prepare_clip(ArrayFrames(pair), SHORT, landmarker)
    assert prepared.quality["num_faces"] == 2


def test_quality_tells_blur_and_exposure(landmarker, clip):
    options = VisionOptions(num_frames=2)
    sharp = prepare_clip(ArrayFrames(clip[:2]), options, landmarker).quality
    blurred = prepare_clip(
        ArrayFrames(np.stack([cv2.GaussianBlur(each, (0, 0), 3) for each in clip[:2]])), options, landmarker
    ).quality
    bright = prepare_clip(
        ArrayFrames(np.clip(clip[:2].astype(int) * 3, 0, 255).astype(np.uint8)), options, landmarker
    ).quality
    assert blurred["blur"] < 0.2 * sharp["blur"]
    assert sharp["clipped_fraction"] < 0.01
    assert bright["clipped_fraction"] > 0.1
    assert 50 < sharp["interocular_px"] < 60


def test_an_unreadable_frame_is_named_only_if_it_is_needed(landmarker, clip, tmp_path):
    for number, frame in enumerate(clip[:10]):
        cv2.imwrite(str(tmp_path / f"image{number:06d}.png"), frame[..., ::-1])
    (tmp_path / "image000005.png").write_bytes(b"")
    options = VisionOptions(num_frames=2)
    assert prepare_clip(FolderFrames(tmp_path), options, landmarker).faces.shape == (2, 128, 128)
    with pytest.raises(DecodeError, match=r"image000005\.png is empty"):
        prepare_clip(FolderFrames(tmp_path), VisionOptions(num_frames=10), landmarker)


def test_options_are_checked_first(landmarker):
    with pytest.raises(ConfigError, match=r"crop is 'box'"):
        prepare_clip(ArrayFrames(np.zeros((1, 8, 8, 3), np.uint8)), VisionOptions(crop="box"), landmarker)


@pytest.fixture(scope="module")
def two_people(clip) -> np.ndarray:
    """A larger face on the right of a smaller one; 8 frames."""
    small = np.stack([cv2.resize(each, None, fx=0.8, fy=0.8) for each in clip[:8]])
    room = 288 - small.shape[1]
    return np.concatenate([np.pad(small, ((0, 0), (0, room), (0, 0), (0, 0)), mode="edge"), clip[:8]], axis=2)


@pytest.mark.parametrize("crop", ["onset", "per_frame_bbox"])
def test_a_face_is_chosen_by_size_by_number_or_refused(landmarker, two_people, crop):
    def prepare(face):
        return prepare_clip(ArrayFrames(two_people), VisionOptions(num_frames=4, crop=crop, face=face), landmarker)

    largest, tracked, left, right = (prepare(face) for face in ("largest", "track", "1", "2"))
    np.testing.assert_array_equal(largest.faces, tracked.faces)
    np.testing.assert_array_equal(largest.faces, right.faces)
    assert left.landmarks[:, 0].max() < 288 < largest.landmarks[:, 0].min()
    with pytest.raises(NoFaceError, match=r"no face number 3 in .* which show 2 at most"):
        prepare("3")
    with pytest.raises(SeveralFacesError, match=r"2 faces in an array of frames, frame 0: 1 at x \d+.*; 2 at x"):
        prepare("ask")


def test_a_tracked_face_is_not_taken_for_one_that_grows_larger(landmarker, two_people):
    swelling = two_people.copy()
    swelling[4:, :, 288:] = 128  # the larger one leaves
    options = VisionOptions(num_frames=8, crop="per_frame_bbox", mask="none")
    followed = prepare_clip(ArrayFrames(swelling), dataclasses.replace(options, face="track"), landmarker)
    assert followed.quality["missed_detections"] == 4
    jumping = prepare_clip(ArrayFrames(swelling), options, landmarker)
    assert jumping.quality["missed_detections"] == 0


def test_tim_and_magnification_stay_in_range_and_move_more(landmarker, clip):
    plain = prepare_clip(ArrayFrames(clip[:6]), VisionOptions(mask="none"), landmarker).faces
    smooth = prepare_clip(ArrayFrames(clip[:6]), VisionOptions(mask="none", sampling="tim"), landmarker).faces
    np.testing.assert_array_equal(smooth[[0, -1]], plain[[0, -1]])
    assert np.abs(smooth.astype(int) - plain).mean() < 10
    magnified = prepare_clip(ArrayFrames(clip[:6]), VisionOptions(mask="none", magnification=8), landmarker).faces
    np.testing.assert_array_equal(magnified[0], plain[0])
    change, change_before = (np.abs(each[-1].astype(int) - each[0]).mean() for each in (magnified, plain))
    assert change > 1.3 * change_before
