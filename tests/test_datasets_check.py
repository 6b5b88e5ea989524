"""`python -m datasets.check`, as a person runs it."""

import json
import shutil

import pytest

from datasets.check import main
from tests.corpora import BMP, CASME2_ROWS, JPEG, write_casme2, write_frames, write_samm


def run(*arguments):
    return main([str(each) for each in arguments])


@pytest.fixture
def root(tmp_path):
    return write_casme2(tmp_path / "CASME II é")


def test_a_usable_copy(root, tmp_path, capsys):
    assert run("casme2", "--manual_dir", tmp_path, "--config", "7class") == 0
    out = capsys.readouterr().out
    assert out.startswith("CASME II (selected, 7class), licensed: 10 of 255 clips, 7 of 26 subjects, in ")
    assert "\n  labels:     " in out
    assert "\n  by class:   disgust 2 (expected 63), fear 1 (expected 2), " in out
    assert "\n  by subject: sub01 2 (expected 9), " in out
    assert "EP02_02f is in no row of the annotation" in out
    assert "\n  repaired: sub04_EP12_01f (" in out
    assert out.splitlines()[-1].startswith("usable: 10 clips, ")


@pytest.mark.parametrize("given", [".", "CASME II é", "CASME II é/CASME2_RAW_selected"])
def test_a_relative_folder(root, tmp_path, monkeypatch, capsys, given):
    monkeypatch.chdir(tmp_path)
    assert run("casme2", "--manual_dir", given) == 0
    assert "usable: 7 clips" in capsys.readouterr().out


def test_json_has_it_all(root, tmp_path, capsys):
    shutil.rmtree(root / "sub17")
    (root / "sub09" / "EP09f" / "img50.jpg").unlink()
    assert run("casme2", "--manual_dir", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["corpus"], found["usable"], found["num_clips"]) == ("casme2", True, 7)
    assert found["by_class"] == {"negative": 3, "positive": 2, "surprise": 2}
    assert found["expected_by_class"] == {"negative": 90, "positive": 32, "surprise": 25}
    assert found["left_aside"] == {"fear": 1, "others": 1, "sadness": 1}
    assert found["annotation"].endswith("CASME2-coding-20140508.xlsx")
    kinds = {kind: len(sentences) for kind, sentences in found["findings"].items() if kind != "counts"}
    assert kinds == {
        "missing": 0, "rows_without_folder": 1, "folders_without_row": 1, "unusable": 0, "frames_missing": 1,
        "apex_out_of_range": 0, "repairs": 1, "other": 0, "not_read": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is an empty file"),
        (JPEG[: len(JPEG) // 2], "is a JPEG that was cut short"),
        (BMP[: len(BMP) - 5], "is a BMP that was cut short"),
        (b"\x89PNG\r\n\x1a\n0000", "is a PNG that was cut short"),
        (b"<html>", "is no image"),
    ],
)
def test_damaged_frames_make_it_unusable(root, tmp_path, capsys, content, what):
    path = root / "sub09" / "EP09f" / "img50.jpg"
    path.write_bytes(content)
    assert run("casme2", "--manual_dir", tmp_path) == 1
    out = capsys.readouterr().out
    assert f"damaged: sub09_EP09f: {path} {what}" in out
    assert out.splitlines()[-1].startswith("not usable as it is: 1 clips have damaged frames.")


def test_more_frames_than_are_shown(tmp_path, capsys):
    root = write_samm(tmp_path)
    for number in range(30):
        write_frames(root / "006" / f"006_9_{number}", [1])
    assert run("samm", "--manual_dir", tmp_path) == 0
    assert "folder without row: and 10 more; `python -m datasets.check --json` has all" in capsys.readouterr().out


def test_errors_are_one_message(tmp_path, capsys, monkeypatch):
    assert run("casme2", "--manual_dir", tmp_path, "--json") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: no CASME II in ")
    assert captured.err.count("\n") == 1
    assert json.loads(captured.out)["usable"] is False
    assert run("casme3", "--manual_dir", tmp_path) == 1
    assert "no corpus is called 'casme3'; did you mean 'casme2'" in capsys.readouterr().err
    assert run("samm", "--manual_dir", tmp_path, "--config", "5clas") == 1
    assert "samm has no variant '5clas'; did you mean '5class'" in capsys.readouterr().err
    assert run("samm") == 1
    assert "expected --manual_dir or MER_MANUAL_DIR" in capsys.readouterr().err
    assert run("samn") == 1
    assert "no corpus is called 'samn'; did you mean 'samm'" in capsys.readouterr().err
    write_casme2(tmp_path)
    monkeypatch.setenv("MER_MANUAL_DIR", str(tmp_path))
    assert run("casme2") == 0


def test_a_folder_that_may_only_be_read(root, tmp_path):
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert run("casme2", "--manual_dir", tmp_path) == 0
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_no_row_of_the_scheme(tmp_path, capsys):
    write_casme2(tmp_path, [row for row in CASME2_ROWS if row[8] == "fear"])
    assert run("casme2", "--manual_dir", tmp_path) == 1
    assert "no row has a class of the scheme 3class (negative, positive, surprise)" in capsys.readouterr().err
