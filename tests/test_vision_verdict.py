import dataclasses

import cv2
import numpy as np
import pytest

from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import PreparedClip, prepare_clip
from mer_jax.vision.quality import inspect_clip
from mer_jax.vision.verdict import Finding, Reason, Verdict, judge, judge_preparation, merge_findings
from tests.face_clips import CLIPS, read_clip

GOOD = {
    "detected_frame": 0.0, "num_faces": 1.0, "second_look": 0.0, "interocular_px": 60.0, "missed_detections": 0.0,
    "registration_failures": 0.0, "registration_shift_px": 0.2, "lost_faces": 0.0, "other_faces": 0.0,
    "residual_shift_px": 0.1, "blur": 100.0, "contrast": 40.0, "clipped_fraction": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as landmarker:
        yield landmarker


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return read_clip("lbax4n", 0, 18)


def prepared_with(roll_degrees: float = 0.0, **changes: float) -> PreparedClip:
    ibug = np.zeros((68, 2), np.float32)
    ibug[42:48] = 60 * np.array([np.cos(np.deg2rad(roll_degrees)), np.sin(np.deg2rad(roll_degrees))])
    faces = np.random.default_rng(0).integers(0, 255, (18, 128, 128), np.uint8)
    return PreparedClip(faces, ibug, np.arange(18), GOOD | changes)


@pytest.mark.parametrize(
    ("change", "verdict", "reason", "message"),
    [
        ({"registration_failures": 3.0}, Verdict.WARN, Reason.NOT_ALIGNED, "no alignment to the onset in 3 of 18"),
        ({"registration_failures": 4.0}, Verdict.FAIL, Reason.NOT_ALIGNED, "no alignment to the onset in 4 of 18"),
        (
            {"registration_failures": 9.0, "lost_faces": 9.0},
            Verdict.FAIL,
            Reason.FACE_LOST,
            "no face in 9 of 18 prepared",
        ),
        ({"registration_failures": 9.0, "other_faces": 9.0}, Verdict.FAIL, Reason.OTHER_PERSON, "in 9 of 18 prepared"),
        ({"missed_detections": 5.0}, Verdict.FAIL, Reason.FACE_LOST, "no face in 5 of 18 prepared frames"),
        ({"missed_detections": 1.0}, Verdict.WARN, Reason.FACE_LOST, "no face in 1 of 18 prepared frames"),
        ({"detected_frame": 4.0}, Verdict.WARN, Reason.FACE_LOST, "no face before frame 4"),
        ({"num_faces": 2.0}, Verdict.WARN, Reason.SEVERAL_FACES, "2 faces in frame 0"),
        ({"interocular_px": 34.0}, Verdict.WARN, Reason.TOO_SMALL, "the eyes are 34 px apart"),
        ({"interocular_px": 15.0}, Verdict.FAIL, Reason.TOO_SMALL, "the eyes are 15 px apart"),
        ({"roll_degrees": 25.0}, Verdict.WARN, Reason.TILTED, "tilted by 25 degrees"),
        ({"roll_degrees": 88.0}, Verdict.FAIL, Reason.TURNED, "on its side: turn by 270 degrees clockwise"),
        ({"roll_degrees": -92.0}, Verdict.FAIL, Reason.TURNED, "on its side: turn by 90 degrees clockwise"),
        ({"roll_degrees": 179.0}, Verdict.FAIL, Reason.TURNED, "upside down: turn by 180 degrees clockwise"),
        ({"residual_shift_px": 0.8}, Verdict.WARN, Reason.HEAD_MOTION, "0.80 px of 128"),
        ({"clipped_fraction": 0.2}, Verdict.WARN, Reason.EXPOSURE, "20% of the face is black or white"),
        ({"blur": 5.0}, Verdict.WARN, Reason.BLURRED, "blurred: sharpness 5"),
    ],
)
def test_each_measurement_has_its_reason(change, verdict, reason, message):
    findings = judge_preparation(prepared_with(**change))
    assert [finding.reason for finding in findings] == [reason]
    assert message in findings[0].message
    assert judge(findings) is verdict


def test_a_good_clip_is_ok_and_one_picture_repeated_fails():
    good = prepared_with()
    assert judge(judge_preparation(good)) is Verdict.OK
    good.faces[:] = good.faces[0]
    (finding,) = judge_preparation(good)
    assert (finding.level, finding.reason) == ("error", Reason.STILL)


def test_measurements_that_an_older_cache_lacks_are_not_judged():
    old = {name: value for name, value in GOOD.items() if name not in ("lost_faces", "other_faces", "contrast")}
    assert judge_preparation(PreparedClip(prepared_with().faces, prepared_with().landmarks, np.arange(18), old)) == []


def test_findings_are_merged_by_reason_and_level():
    small = Finding("warning", Reason.TOO_SMALL, "small", ((0, 3),))
    smaller = Finding("error", Reason.TOO_SMALL, "smaller")
    blurred = Finding("warning", Reason.BLURRED, "blurred")
    assert merge_findings([small], [blurred]) == [small, blurred]
    assert merge_findings([small], [smaller]) == [smaller, small]
    assert merge_findings([small], [small, blurred]) == [small, blurred]
    assert judge([]) is Verdict.OK
    assert judge([small]) is Verdict.WARN
    assert judge([small, smaller]) is Verdict.FAIL


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_of_one_face_are_ok(landmarker, name):
    prepared = prepare_clip(ArrayFrames(read_clip(name)), VisionOptions(), landmarker)
    assert judge_preparation(prepared) == []


def test_a_face_that_leaves_half_way_fails(landmarker, clip):
    leaving = clip.copy()
    leaving[9:] = np.random.default_rng(0).integers(60, 160, leaving[9:].shape, np.uint8)
    prepared = prepare_clip(ArrayFrames(leaving), VisionOptions(), landmarker)
    assert prepared.quality["lost_faces"] == 9
    findings = judge_preparation(prepared)
    assert judge(findings) is Verdict.FAIL
    assert Reason.FACE_LOST in {finding.reason for finding in findings}


def test_another_person_elsewhere_fails(landmarker, clip):
    room = np.full((18, 288, 720, 3), 110, np.uint8)
    room[:9, :, :360] = clip[:9]
    room[9:, :, 360:] = read_clip("bbaf2n", 0, 9)
    prepared = prepare_clip(ArrayFrames(room), VisionOptions(), landmarker)
    assert prepared.quality["other_faces"] == 9
    findings = judge_preparation(prepared)
    assert judge(findings) is Verdict.FAIL
    assert Reason.OTHER_PERSON in {finding.reason for finding in findings}


def test_another_person_in_the_same_place_fails(landmarker, clip):
    both = np.concatenate([clip[:9], read_clip("bbaf2n", 0, 9)])
    prepared = prepare_clip(ArrayFrames(both), VisionOptions(), landmarker)
    assert judge(judge_preparation(prepared)) is Verdict.FAIL


def test_a_dark_clip_is_not_called_blurred_and_a_blurred_one_is(landmarker):
    for name in CLIPS:
        frames = read_clip(name, 0, 6)
        dark = frames // 4
        assert dark.mean() < 40
        for clip, is_blurred in ((dark, False), (np.stack([cv2.GaussianBlur(f, (0, 0), 3) for f in frames]), True)):
            reasons = {
                f.reason for f in judge_preparation(prepare_clip(ArrayFrames(clip), VisionOptions(), landmarker))
            }
            assert (Reason.BLURRED in reasons) == is_blurred
            reasons = {finding.reason for finding in inspect_clip(ArrayFrames(clip), landmarker).findings}
            assert (Reason.BLURRED in reasons) == is_blurred


@pytest.mark.parametrize(
    ("step", "pixels", "is_still"), [(0, 0, True), (1, 20, True), (1, 2000, False), (2, 20, False), (-1, 20, True)]
)
def test_one_picture_is_still_one_where_a_registration_rounds_differently(step, pixels, is_still):
    clip = prepared_with()
    faces = np.repeat(clip.faces[:1], 18, axis=0)
    places = np.random.default_rng(1).integers(1, faces.size, pixels)
    faces.reshape(-1)[places] = np.clip(faces.reshape(-1)[places].astype(int) + step, 0, 255)
    findings = judge_preparation(dataclasses.replace(clip, faces=faces))
    assert (Reason.STILL in {each.reason for each in findings}) == is_still
