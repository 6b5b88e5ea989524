import gc
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.errors import CheckpointError
from mer_jax.training.checkpoint import FoldCheckpoints, read_weights


def make_state(value=0.0, size=4):
    return {
        "params": {"w": jnp.full((size, 3), value)},
        "epoch": jnp.asarray(int(value)),
        "stopped": jnp.asarray(False),
    }


def save(folder, *epochs, fingerprint="x"):
    with FoldCheckpoints(folder, fingerprint) as checkpoints:
        for epoch in epochs:
            checkpoints.save(epoch, make_state(float(epoch)))


def restore(folder, fingerprint="x", **template):
    with FoldCheckpoints(folder, fingerprint) as checkpoints:
        return checkpoints.restore_newest(make_state(**template))


def test_newest_comes_back_and_two_are_kept(tmp_path):
    save(tmp_path / "c", 1, 2, 3)
    state = restore(tmp_path / "c")
    np.testing.assert_array_equal(state["params"]["w"], np.full((4, 3), 3.0))
    assert int(state["epoch"]) == 3
    kept = sorted(path.name for path in (tmp_path / "c").iterdir() if path.name.isdigit())
    assert kept == ["2", "3"]


def test_nothing_there(tmp_path):
    assert restore(tmp_path / "c") is None


def test_a_half_written_checkpoint_is_not_taken(tmp_path):
    save(tmp_path / "c", 1, 2)
    shutil.move(tmp_path / "c" / "2", tmp_path / "c" / "2.orbax-checkpoint-tmp")
    assert int(restore(tmp_path / "c")["epoch"]) == 1


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    save(tmp_path / "c", 1, 2)
    for path in (tmp_path / "c" / "2").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert int(restore(tmp_path / "c")["epoch"]) == 1
    assert "is damaged, trying an older one" in caplog.text
    save(tmp_path / "c", 2)  # the damaged one is out of the way
    assert int(restore(tmp_path / "c")["epoch"]) == 2


# Orbax leaves a coroutine behind when reading fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_arrays_fall_back_too(tmp_path):
    save(tmp_path / "c", 1, 2)
    for path in (tmp_path / "c" / "2" / "state").rglob("*"):
        if path.is_file() and path.name != "_METADATA":
            path.write_bytes(path.read_bytes()[:10])
    assert int(restore(tmp_path / "c")["epoch"]) == 1
    gc.collect()


def test_what_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch):
    save(tmp_path / "c", 1, 2)

    def stale(*_, **__):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(FoldCheckpoints, "_restore", stale)
    with pytest.raises(CheckpointError, match="Stale file handle; nothing was removed"):
        restore(tmp_path / "c")
    monkeypatch.undo()
    assert int(restore(tmp_path / "c")["epoch"]) == 2


def test_another_experiment_is_refused(tmp_path):
    save(tmp_path / "c", 1, fingerprint="one")
    with pytest.raises(CheckpointError, match="of another experiment or version: fingerprint is one, expected two"):
        restore(tmp_path / "c", fingerprint="two")


def test_another_model_is_refused(tmp_path):
    save(tmp_path / "c", 1)
    with pytest.raises(CheckpointError, match=r"\['params'\]\['w'\] is float32\[4, 3\], expected float32\[5, 3\]"):
        restore(tmp_path / "c", size=5)


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path / "c", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1_000_000))
    with pytest.raises(CheckpointError, match=r"no room for a checkpoint .* 1 MB are free, 1 MB are needed"):
        save(tmp_path / "c", 2)
    assert int(restore(tmp_path / "c")["epoch"]) == 1


def test_an_epoch_that_is_there_already_is_not_passed_over(tmp_path):
    save(tmp_path / "c", 2)
    with pytest.raises(CheckpointError, match="holds epoch 2 or a later one already"):
        save(tmp_path / "c", 2)


def test_weights_that_cannot_be_read_cost_no_more_than_themselves(tmp_path, caplog):
    assert read_weights(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()
    with FoldCheckpoints(tmp_path / "c", "x") as checkpoints:
        state = {"best_params": {"w": jnp.ones(3)}, "best_model_state": {"batch_stats": {"m": jnp.zeros(2)}}}
        checkpoints.save(1, state)
    weights = read_weights(tmp_path / "c")
    np.testing.assert_array_equal(weights["params"]["w"], np.ones(3))
    np.testing.assert_array_equal(weights["batch_stats"]["m"], np.zeros(2))
    for path in (tmp_path / "c" / "1").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert read_weights(tmp_path / "c") is None
    assert "cannot be read" in caplog.text


# A flipped bit may also make tensorstore or orbax fail in ways of their own, with coroutines left behind.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_flipped_bit_is_believed(tmp_path):
    """Whatever bit of the newest checkpoint is flipped, what comes back is what was written, or the one before."""
    save(tmp_path / "c", 1, 2)
    files = [path for path in sorted((tmp_path / "c" / "2").rglob("*")) if path.is_file() and path.stat().st_size]
    rng, outcomes = np.random.default_rng(0), set()
    for number in range(60):
        path = files[number % len(files)]
        shutil.copytree(tmp_path / "c", tmp_path / "flipped")
        target = tmp_path / "flipped" / path.relative_to(tmp_path / "c")
        content = bytearray(target.read_bytes())
        bit = int(rng.integers(8 * len(content)))
        content[bit // 8] ^= 1 << bit % 8
        target.write_bytes(content)
        state = restore(tmp_path / "flipped")
        epoch = int(state["epoch"])
        np.testing.assert_array_equal(
            state["params"]["w"], np.full((4, 3), float(epoch)), err_msg=f"{target} bit {bit}"
        )
        outcomes.add(epoch)
        shutil.rmtree(tmp_path / "flipped")
    assert outcomes == {1, 2}, "some flips must have been noticed"
    gc.collect()
