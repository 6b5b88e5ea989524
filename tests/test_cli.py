"""`mer inspect` as a user runs it, on real faces and on everything that is not one."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_jax.cli.main import COMMANDS, main
from mer_jax.vision.face_model import find_face_model
from tests.face_clips import read_clip
from tests.video_files import CASES

ROOT = Path(__file__).parents[1]
LENGTH = 12


@pytest.fixture(scope="module")
def talker() -> np.ndarray:
    return read_clip("lbax4n", 0, LENGTH)


def write_video(path: Path, frames) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def inspect(source: Path, out: Path, *flags: str) -> tuple[int, dict]:
    code = main(["inspect", str(source), "--out", str(out), *flags])
    report = out / "inspect.json"
    return code, json.loads(report.read_text())["clips"] if report.exists() else {}


def test_a_video_gives_a_page_a_picture_and_numbers(talker, tmp_path, capsys):
    code, clips = inspect(write_video(tmp_path / "talk <1>.avi", talker), tmp_path / "out")
    assert code == 0
    clip = clips["talk <1>.avi"]
    assert clip["usable"]
    assert clip["frames_per_s"] == pytest.approx(25)
    assert clip["summary"]["detection_rate"] == 1
    assert 0 < clip["summary"]["jitter_percent"] < 1
    page = (tmp_path / "out" / "inspect.html").read_text()
    assert "talk &lt;1&gt;.avi" in page
    assert "<1>" not in page
    assert "http" not in page.replace("http://www.w3.org", "")  # self-contained
    assert "data:image/jpeg;base64," in page
    assert "polyline" in page
    sheet = cv2.imread(str(tmp_path / "out" / "contact_sheet.png"))
    assert sheet.shape[1] > 1000
    assert sheet.std() > 20
    assert str(tmp_path / "out" / "inspect.html") in capsys.readouterr().out


def test_a_folder_keeps_the_good_and_names_the_bad(talker, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    (corpus / "s1" / "ep1").mkdir(parents=True)
    for number, frame in enumerate(talker[:7]):
        cv2.imwrite(str(corpus / "s1" / "ep1" / f"img{number}.png"), frame[..., ::-1])
    (corpus / "s1" / "ep1" / "img3.png").write_bytes(b"")
    half_way = talker.copy()
    half_way[:6] = 90
    write_video(corpus / "half_way.avi", half_way)
    write_video(corpus / "black.avi", np.zeros_like(talker))
    write_video(corpus / "one.avi", talker[:1])
    (corpus / "text.mp4").write_text("hello")
    (corpus / "notes.txt").write_text("hello")

    code, clips = inspect(corpus, tmp_path / "out")
    assert code == 1
    assert {name for name, clip in clips.items() if clip["usable"]} == {"half_way.avi"}
    assert clips["half_way.avi"]["verdict"] == "warn"
    assert clips["s1/ep1"]["verdict"] == "fail"
    assert [finding["reason"] for finding in clips["s1/ep1"]["findings"]][:2] == ["unreadable", "unreadable"]
    said = {name: "\n".join(f["message"] for f in clip["findings"]) for name, clip in clips.items()}
    assert "the face is first detected in frame 6" in said["half_way.avi"]
    assert [[0, 5]] in [finding["frames"] for finding in clips["half_way.avi"]["findings"]]
    assert "1 frame cannot be decoded; frame 3" in said["s1/ep1"]
    error = capsys.readouterr().err
    assert "black.avi: no face: the frames are black or of one single shade [frames 0-11]" in error
    assert "one.avi: one single frame: motion needs two [frame 0]" in error
    assert "cannot be opened as a video: it is a text file" in error
    assert "Overview" in (tmp_path / "out" / "inspect.html").read_text()


def test_two_faces_are_named_and_one_can_be_chosen(talker, tmp_path, capsys):
    small = np.stack([cv2.resize(frame, None, fx=0.8, fy=0.8) for frame in talker[:4]])
    small = np.pad(small, ((0, 0), (0, 288 - small.shape[1]), (0, 0), (0, 0)), mode="edge")
    video = write_video(tmp_path / "two.avi", np.concatenate([small, talker[:4]], axis=2))
    code, clips = inspect(video, tmp_path / "ask", "--face", "ask")
    assert code == 1
    assert "error: two.avi: 2 faces in" in capsys.readouterr().err
    code, clips = inspect(video, tmp_path / "left", "--face", "1")
    assert code == 0
    left = clips["two.avi"]["summary"]["interocular_px"]
    code, clips = inspect(video, tmp_path / "large")
    assert code == 0
    assert left < 0.9 * clips["two.avi"]["summary"]["interocular_px"]
    assert "2 faces at once; the largest is measured" in clips["two.avi"]["findings"][0]["message"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.mp4", "none.mp4 does not exist; expected a video"),
        (".", "contains neither videos"),
        ("camera:77", "camera 77"),
    ],
)
def test_a_source_that_is_none_is_refused(source, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert inspect(Path(source), tmp_path / "out")[0] == 1
    assert message in capsys.readouterr().err


def test_wrong_options_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["inspekt"])
    assert stop.value.code == 2
    assert main(["inspect", str(tmp_path), "--out", str(tmp_path), "--num_frames", "1"]) == 1
    assert "num_frames is 1" in capsys.readouterr().err


def test_the_command_is_declared_and_explains_itself_without_loading_anything_heavy():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"mer": "mer_jax.cli.main:main"}
    code = """
import sys
from mer_jax.cli.main import main
try:
    main(["--help"])
finally:
    print("cv2" in sys.modules, "jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.splitlines()[-1] == "False False"
    for name in COMMANDS:
        assert name in done.stdout


def test_a_file_in_place_of_the_folder_is_refused_before_the_work(talker, tmp_path, capsys):
    out = tmp_path / "report.html"
    out.write_text("mine")
    assert main(["inspect", str(write_video(tmp_path / "talk.avi", talker)), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "report.html, which is a file; expected a folder" in error
    assert "1 of 1" not in error
    assert out.read_text() == "mine"


def test_the_home_folder_is_expanded_in_paths(talker, tmp_path, monkeypatch):
    monkeypatch.setenv("MER_FACE_MODEL", str(find_face_model()))  # the cache is in the home folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "talk.avi", talker[:6])
    assert main(["inspect", "~/talk.avi", "--out=~/out"]) == 0
    assert (tmp_path / "out" / "inspect.html").exists()
    assert not (tmp_path / "~").exists()


def test_names_with_escapes_and_bytes_that_are_not_utf_8_are_printed_safely(talker, tmp_path, capfd):
    corpus = os.fsencode(tmp_path / "corpus")
    for name in (b"red\x1b[31m", b"bad\xff"):
        folder = os.path.join(corpus, name)
        os.makedirs(folder)
        for number, frame in enumerate(talker[:6]):
            content = cv2.imencode(".png", frame[..., ::-1])[1].tobytes()
            with open(os.path.join(folder, b"img%d.png" % number), "wb") as file:
                file.write(content)
    with open(os.path.join(corpus, b"bad\x1b[0m\xfe.mp4"), "wb") as file:
        file.write(b"text")
    assert main(["inspect", os.fsdecode(corpus), "--out", str(tmp_path / "out")]) == 1
    captured = capfd.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert r"ok    red\x1b[31m" in captured.out
    assert r"ok    bad\xff" in captured.out
    assert r"error: bad\x1b[0m\xfe.mp4: " in captured.err
    clips = json.loads((tmp_path / "out" / "inspect.json").read_text())["clips"]
    assert set(clips) == {r"red\x1b[31m", r"bad\xff", r"bad\x1b[0m\xfe.mp4"}
    assert r"red\x1b[31m" in (tmp_path / "out" / "inspect.html").read_text()


def test_what_is_passed_over_is_counted(talker, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_video(corpus / "talk.avi", talker[:6])
    (corpus / "notes.txt").write_text("hello")
    code, _ = inspect(corpus, tmp_path / "out")
    assert code == 0
    assert "passed over 1 other file: 1 .txt" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "inspect.json").read_text())["passed_over"] == {".txt": 1}
    assert "passed over 1 other file: 1 .txt" in (tmp_path / "out" / "inspect.html").read_text()


def test_a_lying_video_names_its_turn_and_the_option_turns_it(talker, tmp_path, capsys):
    video = write_video(tmp_path / "lying.avi", [np.rot90(frame) for frame in talker])
    code, _ = inspect(video, tmp_path / "out")
    assert code == 1
    assert "error: lying.avi: the picture is on its side: turn by 90 degrees clockwise" in capsys.readouterr().err
    for turn in ("90", "auto"):
        code, clips = inspect(video, tmp_path / "out", "--turn", turn)
        assert code == 0
        assert clips["lying.avi"]["verdict"] == "ok"


def test_the_progress_bar_counts_frames_on_a_terminal(talker, tmp_path):
    import pty

    video = write_video(tmp_path / "talk.avi", talker[:6])
    command = [sys.executable, "-m", "mer_jax.cli.main", "inspect", str(video), "--out", str(tmp_path / "out")]
    main_end, other_end = pty.openpty()
    done = subprocess.run(command, stderr=other_end, stdout=subprocess.PIPE, cwd=ROOT, timeout=120)
    os.close(other_end)
    shown = os.read(main_end, 100_000).decode()
    os.close(main_end)
    assert done.returncode == 0
    assert "1 of 1: talk.avi [" in shown
    assert "] 100%" in shown
    assert shown.count("\n") == 0
    assert shown.endswith("\r\x1b[K")


def test_corrections_are_printed(tmp_path, capsys):
    code, _ = inspect(CASES / "wide_pixels.mp4", tmp_path / "out", "--turn", "180")
    assert code == 1  # it was upright
    printed = capsys.readouterr().out
    assert "      pixels are not square (1.422 times as wide as high)" in printed
    assert "      frames are turned by 180 degrees clockwise" in printed
    assert inspect(CASES / "face_in_hd_80.mp4", tmp_path / "hd")[0] == 0
    assert "found by a second look at parts of it" in capsys.readouterr().out
