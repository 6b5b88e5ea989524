"""Stage one on rendered faces: real frames, the real landmarker, real processes."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import cv2
import numpy as np
import pytest

from datasets.cache import prepare_corpus
from datasets.cached import read_cached
from datasets.folders import list_frames
from datasets.records import ClipRecord, Reason
from datasets.surrogate.corpus import render_corpus
from mer_jax.errors import CorpusError
from mer_jax.system import machine
from mer_jax.system.machine import count_processors
from mer_jax.vision.options import VisionOptions

OPTIONS = VisionOptions(num_frames=4)


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory):
    return render_corpus(
        tmp_path_factory.mktemp("surrogate"), num_subjects=1, num_clips=3, workers=1, log=lambda line: None
    )


@pytest.fixture
def records(corpus_dir, tmp_path):
    """Three clips, each six frames long, in a copy that may be damaged."""
    records = []
    for folder in sorted((corpus_dir / "HS" / "s1" / "micro").glob("*/*")):
        copy = tmp_path / "copy" / folder.name
        copy.mkdir(parents=True)
        for frame in list_frames(folder)[0][:6]:
            shutil.copy(frame, copy)
        records.append(record_of(copy))
    return records


def record_of(folder):
    frames, numbers, _ = list_frames(folder)
    return ClipRecord(
        clip_id=folder.name,
        subject="s1",
        corpus="smic",
        labels={"emotion": "negative"},
        frames=tuple(frames),
        frame_numbers=tuple(numbers),
        onset=0,
        apex=None,
        offset=len(frames) - 1,
    )


def files_in(cache_dir):
    return sorted(path for path in cache_dir.rglob("*") if path.is_file())


def test_clips_come_out_prepared_and_in_order(records, tmp_path):
    cached = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    assert [clip.record for clip in cached.clips] == records
    assert cached.skipped == {}
    assert cached.num_reused == 0
    for clip in cached.clips:
        prepared = read_cached(clip)
        assert prepared.faces.shape == (4, 128, 128)
        assert prepared.faces.dtype == np.uint8
        assert prepared.faces.std() > 5
        assert prepared.landmarks.shape == (68, 2)
        assert prepared.frame_indices.tolist() == [0, 2, 3, 5]
        assert prepared.quality["num_faces"] == 1
    assert files_in(tmp_path / "cache") == sorted(clip.path for clip in cached.clips)


def test_processes_give_the_same_as_this_process(records, tmp_path):
    here = prepare_corpus(records, OPTIONS, tmp_path / "here", workers=1)
    there = prepare_corpus(records, OPTIONS, tmp_path / "there", workers=2)
    assert [clip.path.name for clip in there.clips] == [clip.path.name for clip in here.clips]
    for one, other in zip(here.clips, there.clips, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_nothing_is_prepared_twice(records, tmp_path, monkeypatch):
    first = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    times = [path.stat().st_mtime_ns for path in files_in(tmp_path / "cache")]
    # Without a face model nothing could be prepared; what is ready does not need one.
    monkeypatch.setenv("MER_FACE_MODEL", str(tmp_path / "no model"))
    second = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    assert second.clips == first.clips
    assert second.num_reused == 3
    assert [path.stat().st_mtime_ns for path in files_in(tmp_path / "cache")] == times


def test_copying_the_corpus_does_not_matter(records, tmp_path):
    prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    shutil.copytree(tmp_path / "copy", tmp_path / "moved corpus")
    moved = [record_of(tmp_path / "moved corpus" / record.clip_id) for record in records]
    assert prepare_corpus(moved, OPTIONS, tmp_path / "cache", workers=1).num_reused == 3


def change_a_used_frame(record):
    image = cv2.imread(str(record.frames[2]))
    cv2.imwrite(str(record.frames[2].with_suffix(".png")), image // 2)
    record.frames[2].with_suffix(".png").rename(record.frames[2])


def rename_a_frame(record):
    record.frames[1].rename(record.frames[1].with_name("picture" + record.frames[1].name))


def add_a_frame(record):
    shutil.copy(record.frames[-1], record.frames[-1].with_name(f"image{record.frame_numbers[-1] + 1:06d}.bmp"))


@pytest.mark.parametrize("change", [change_a_used_frame, rename_a_frame, add_a_frame])
def test_a_changed_clip_is_prepared_anew(records, tmp_path, change):
    prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    change(records[0])
    changed = [record_of(records[0].frames[0].parent), *records[1:]]
    assert prepare_corpus(changed, OPTIONS, tmp_path / "cache", workers=1).num_reused == 2


def test_other_options_are_kept_apart(records, tmp_path):
    prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    other = VisionOptions(num_frames=4, mask="none")
    assert prepare_corpus(records, other, tmp_path / "cache", workers=1).num_reused == 0
    assert prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1).num_reused == 3


@pytest.mark.parametrize("damage", [lambda content: content[:1000], lambda content: b"", lambda content: b"x" * 5000])
def test_a_damaged_cache_file_is_made_anew(records, tmp_path, damage):
    first = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    content = first.clips[1].path.read_bytes()
    first.clips[1].path.write_bytes(damage(content))
    with pytest.raises(CorpusError, match=r"vanished or was damaged meanwhile. Run the build again"):
        read_cached(first.clips[1])
    assert prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1).num_reused == 2
    assert first.clips[1].path.read_bytes() == content


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_without_a_face_is_left_out_with_its_reason(records, tmp_path, workers):
    for frame in records[1].frames:
        cv2.imwrite(str(frame.with_suffix(".png")), np.full((480, 640, 3), 90, np.uint8))
        frame.with_suffix(".png").rename(frame)
    cached = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=workers)
    assert [clip.record for clip in cached.clips] == [records[0], records[2]]
    assert list(cached.skipped) == [records[1].clip_id]
    assert cached.skipped[records[1].clip_id].reason is Reason.NO_FACE


def empty(frame):
    frame.write_bytes(b"")


def truncate(frame):
    frame.write_bytes(frame.read_bytes()[:200])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("damage", [empty, truncate, os.unlink])
def test_a_damaged_frame_is_an_error_that_names_it(records, tmp_path, damage, workers):
    damage(records[1].frames[2])
    with pytest.raises(CorpusError, match=rf"clip {records[1].clip_id}: .*{records[1].frames[2].name}.*--skip-unread"):
        prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=workers)
    assert multiprocessing.active_children() == []


def test_a_damaged_frame_may_cost_its_clip_only(records, tmp_path):
    truncate(records[1].frames[2])
    cached = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1, skip_unreadable=True)
    assert [clip.record for clip in cached.clips] == [records[0], records[2]]
    assert cached.skipped[records[1].clip_id].reason is Reason.UNREADABLE
    assert records[1].frames[2].name in cached.skipped[records[1].clip_id].detail


def test_a_full_disk_is_said_and_leaves_no_half_file(records, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # no file may grow beyond; a clip needs 66 kB
    try:
        with pytest.raises(CorpusError, match=r"cannot write .*\.npz: .*Make room there"):
            prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files_in(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_made_is_said(records, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"cannot write .*file"):
        prepare_corpus(records, OPTIONS, tmp_path / "file", workers=1)


def test_old_temporary_files_go_and_young_ones_stay(records, tmp_path):
    cached = prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    old, young = (cached.clips[0].path.with_name(name) for name in (".a.1234.tmp", ".b.1234.tmp"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1)
    assert not old.exists()
    assert young.exists()


def test_a_killed_worker_is_said(records, tmp_path):
    def kill_one():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(children[0].pid, signal.SIGKILL)

    threading.Thread(target=kill_one).start()
    with pytest.raises(CorpusError, match=r"a worker process ended by itself.*with fewer --workers"):
        prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=2)
    assert multiprocessing.active_children() == []
    assert prepare_corpus(records, OPTIONS, tmp_path / "cache", workers=1).clips


def test_a_script_without_a_main_guard_may_call_it(records, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys
            from pathlib import Path
            print("imported", flush=True)
            from datasets.cache import prepare_corpus
            from datasets.records import ClipRecord
            from mer_jax.vision.options import VisionOptions
            folders = sorted(Path({str(tmp_path / "copy")!r}).iterdir())
            records = [
                ClipRecord(each.name, "s1", "smic", {{}}, tuple(sorted(each.iterdir())), (0,) * 6, 0, None, 5)
                for each in folders
            ]
            cached = prepare_corpus(records, VisionOptions(num_frames=4), Path({str(tmp_path / "c")!r}), workers=2)
            print(len(cached.clips), sys.modules["__main__"].__file__)
            """)
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."}
    )
    assert done.stdout == f"imported\n3 {script}\n"


def test_the_processors_of_this_process_are_counted(monkeypatch):
    monkeypatch.setattr(machine, "processor_quota", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 9}, raising=False)
    assert count_processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert count_processors() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_processors() == 1
