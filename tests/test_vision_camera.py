import http.server
import itertools
import threading
import time

import cv2
import numpy as np
import pytest

from mer_jax.errors import DecodeError
from mer_jax.vision.camera import record_camera
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.quality import inspect_clip
from mer_jax.vision.sources import find_clips


@pytest.fixture
def stream(tmp_path):
    """A stand-in for a camera: OpenCV reads a file as it reads a device. 20 frames, ever brighter."""
    path = tmp_path / "stream.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return str(path)


def test_frames_come_with_the_times_at_which_they_arrived(stream):
    arrivals = itertools.accumulate([5.0, 0.03, 0.03, 0.09, 0.03, 0.5])
    frames = record_camera(stream, duration_s=0.5, clock=lambda: next(arrivals))
    np.testing.assert_allclose(frames.timestamps_s, [0, 0.03, 0.06, 0.15, 0.18, 0.68])
    assert len(frames) == 6
    assert frames[5].shape == (48, 64, 3)
    assert abs(int(frames[5].mean()) - 50) < 4
    assert frames.describe(2) == f"camera {stream}, frame 2"


class NetworkCamera(http.server.BaseHTTPRequestHandler):
    """Motion JPEG over HTTP, as network cameras have it; it is unplugged after 12 frames."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(12):
            jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 20 * number, np.uint8))[1].tobytes()
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            self.wfile.write(jpeg + b"\r\n")
            time.sleep(0.04)

    def log_message(self, *arguments):
        pass


def test_a_network_camera_that_is_unplugged_leaves_what_it_showed():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NetworkCamera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        frames = record_camera(f"http://127.0.0.1:{server.server_port}/stream.mjpg", duration_s=30)
        server.shutdown()
    assert 10 <= len(frames) <= 12
    assert (np.diff(frames.timestamps_s) >= 0).all()
    assert frames.timestamps_s[-1] < 5 < frames.stated_duration_s
    with FaceLandmarker() as landmarker:
        findings = inspect_clip(frames, landmarker, kind="video").findings
    assert any("the camera stopped after" in finding.message for finding in findings)


def test_what_came_before_the_end_of_the_stream_is_kept(stream):
    assert len(record_camera(stream, duration_s=60)) == 20


def test_a_camera_that_is_not_there_is_refused():
    with pytest.raises(DecodeError, match="camera 77 cannot be opened: it does not exist, another program uses it"):
        record_camera(77)
    with pytest.raises(DecodeError, match=r"camera http://me:\*\*\*@127.0.0.1:1/x\?pwd=\*\*\* cannot be opened"):
        record_camera("http://me:secret@127.0.0.1:1/x?pwd=secret")
    assert find_clips("camera:rtsp://me:secret@host/x", 1.0).clips[0].name == "camera:rtsp://me:***@host/x"
