import numpy as np
import pytest

from mer_jax.errors import NoFaceError, SeveralFacesError
from mer_jax.vision.frame_runs import frame_runs
from mer_jax.vision.landmarks import Landmarks
from mer_jax.vision.tracks import choose_face, describe_faces, follow_face, link_faces


def face_at(x: float, y: float = 100.0, width: float = 80.0) -> Landmarks:
    """A mesh of the given width around (x, y)."""
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, 0] = np.linspace(x - width / 2, x + width / 2, 478)
    mesh[:, 1] = y + width / 2 * np.sin(np.arange(478))
    return Landmarks(mesh)


def test_two_people_are_two_tracks_even_as_their_order_changes():
    detections = {
        frame: [face_at(100 + frame), face_at(300 - frame, width=90)][:: 1 if frame % 2 else -1] for frame in range(10)
    }
    wide, narrow = link_faces(detections)
    assert (wide.median_width_px, narrow.median_width_px) == (pytest.approx(90, abs=1), pytest.approx(80, abs=1))
    assert [round(face.mesh[:, 0].mean()) for face in narrow.faces.values()] == list(range(100, 110))


def test_a_face_that_leaves_and_comes_back_is_one_track_with_an_absence():
    detections = {frame: [] if 6 <= frame <= 10 else [face_at(100)] for frame in range(0, 20, 2)}
    (track,) = link_faces(detections)
    assert (track.first_frame, track.last_frame) == (0, 18)
    assert track.absences(list(detections)) == [(6, 10)]


def test_someone_elsewhere_or_of_another_size_is_another_track():
    assert len(link_faces({0: [face_at(100)], 1: [face_at(200)]})) == 2
    assert len(link_faces({0: [face_at(100)], 1: [face_at(100, width=160)]})) == 2
    assert len(link_faces({0: [face_at(100)], 1: [face_at(130, width=95)]})) == 1
    assert link_faces({0: [], 1: []}) == []


def test_runs_follow_the_frames_that_were_looked_at():
    assert frame_runs([], frames=[0, 1]) == []
    assert frame_runs([3, 1, 2, 5], frames=range(6)) == [(1, 3), (5, 5)]


def test_choosing_by_size_by_number_and_by_asking():
    faces = [face_at(300, width=120), face_at(100), face_at(500, width=60)]  # the widest first
    assert choose_face(faces, "largest", "frame 0") is faces[0]
    assert choose_face(faces, "track", "frame 0") is faces[0]
    assert [choose_face(faces, number, "frame 0") for number in "1234"] == [faces[1], faces[0], faces[2], None]
    assert choose_face([], "largest", "frame 0") is None
    assert choose_face([faces[0]], "ask", "frame 0") is faces[0]
    message = r"3 faces in frame 0: 1 at x 100, y \d+, 80 px wide; 2 at x 300.*3 at x 500.*face='1'"
    with pytest.raises(SeveralFacesError, match=message):
        choose_face(faces, "ask", "frame 0")
    assert issubclass(SeveralFacesError, NoFaceError)  # a corpus build leaves such a clip out, with its reason
    assert describe_faces(faces).startswith("1 at x 100")


def test_following_takes_the_nearest_or_nobody():
    faces = [face_at(300), face_at(130)]
    assert follow_face(faces, face_at(110)) is faces[1]
    assert follow_face(faces, face_at(600)) is None
