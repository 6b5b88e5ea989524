"""Peers of the whole protocols: they compute what ours computes, and what is timed is all of it.

PyTorch is not a dependency. `benchmarks/protocols_beside_peers.py` makes the same checks each time that it runs.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import loso_jobs, protocols_beside_peers
from benchmarks.loso_jobs import MODELS, NETWORKS, CompileClock, Job


@pytest.fixture(scope="module")
def loso_torch():
    """The module of the networks in PyTorch."""
    pytest.importorskip("torch", reason="needs PyTorch: pip install torch, in an environment of its own")
    from benchmarks import loso_torch

    return loso_torch


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_in_torch_are_ours(loso_torch, name):
    loso_torch.check_network(name)


def test_augmentation_in_torch_is_ours(loso_torch):
    loso_torch.check_augmentation()


def test_another_network_is_refused(loso_torch, monkeypatch):
    class Deeper(loso_torch.STSTNet):
        def forward(self, motion):
            return 1.01 * super().forward(motion)

    monkeypatch.setitem(loso_torch.NETWORKS, "STSTNet", Deeper)
    with pytest.raises(ValueError, match=r"STSTNet: logits in PyTorch and in ours differ by 1\.0e-02 of the largest"):
        loso_torch.check_network("STSTNet")
    with pytest.raises(SystemExit, match="nothing was timed: STSTNet: logits"):
        protocols_beside_peers.check(["STSTNet"], with_torch=True)
    monkeypatch.setitem(loso_torch.NETWORKS, "STSTNet", loso_torch.OffApexNet)
    with pytest.raises(ValueError, match=r"STSTNet: the network in PyTorch has no \w+\.\w+ of shape"):
        loso_torch.check_network("STSTNet")


def test_torch_learns_what_ours_learns(loso_torch):
    """The training loss of both falls alike; they draw other weights and orders."""
    job = Job("STSTNet", epochs=12, batch=64, folds=2)
    clips = loso_jobs.make_clips("STSTNet").select(range(0, 442, 4))
    ours, in_torch = loso_jobs.run_ours(job, clips), loso_torch.run_torch(job, clips)
    first = loso_torch.run_torch(dataclasses.replace(job, epochs=1), clips)
    assert ours.scores.shape == in_torch.scores.shape
    np.testing.assert_allclose(in_torch.scores.sum(1), 1, atol=1e-5)
    assert ours.loss == pytest.approx(in_torch.loss, rel=0.15)
    assert in_torch.loss < 0.9 * first.loss


def test_scikit_learn_alone_answers_what_ours_answers():
    loso_jobs.check_baseline("LBP-TOP's classifier")


def test_another_estimator_is_refused(monkeypatch):
    monkeypatch.setitem(MODELS, "LBP-TOP's classifier", lambda: next(models))
    models = iter([loso_jobs.StoredLbpTop(), loso_jobs.StoredLbpTop(penalty=0.01)])
    with pytest.raises(SystemExit, match="nothing was timed: LBP-TOP's classifier: scikit-learn alone and ours differ"):
        protocols_beside_peers.check(["LBP-TOP's classifier"], with_torch=False)


@pytest.mark.parametrize(("name", "people", "clips"), [("STSTNet", 68, 442), ("LBP-TOP's classifier", 16, 164)])
def test_random_corpora_have_the_sizes_of_real_ones(name, people, clips):
    made = loso_jobs.make_clips(name)
    assert (len(made), made.num_subjects) == (clips, people)
    assert len(loso_jobs.make_folds(made, 0)) == people
    assert [int(fold.validation.sum()) for fold in loso_jobs.make_folds(made, 3)] == [0, 0, 0]


def test_all_folds_and_the_first_ones_alone_give_the_same_scores():
    clips = loso_jobs.make_clips("LBP-TOP's classifier")
    some, every = (loso_jobs.run_ours(Job("LBP-TOP's classifier", folds=number), clips).scores for number in (2, 0))
    tested = sum(int(fold.test.sum()) for fold in loso_jobs.make_folds(clips, 2))
    assert (len(some), len(every)) == (tested, 164)
    np.testing.assert_array_equal(some, every[:tested])


def test_time_of_compiling_is_the_union_of_intervals():
    clock = CompileClock()
    clock._intervals = [(5.0, 6.0), (0.0, 2.0), (0.5, 1.0), (1.5, 3.0)]
    assert clock.seconds() == 4.0
    with clock:
        jax.block_until_ready(jax.jit(lambda x: jnp.cumsum(x) + 12345)(np.arange(17)))
    assert 0 < clock.seconds() < 60
    seen = clock.seconds()
    jax.block_until_ready(jax.jit(lambda x: jnp.cumsum(x) - 54321)(np.arange(19)))
    assert clock.seconds() == seen  # nothing is heard after the block


def test_flags_say_what_is_run():
    arguments = protocols_beside_peers.argparse.Namespace(
        only=["OFF-ApexNet", "Hybrid Attention-3DNet", "LinearFlow"],
        batches=[20, 256], batch=80, epochs=40, clip_epochs=5, folds=8,
    )  # fmt: skip
    assert protocols_beside_peers.list_jobs(arguments) == [
        Job("OFF-ApexNet", 40, 20, 8),
        Job("OFF-ApexNet", 40, 256, 8),
        Job("Hybrid Attention-3DNet", 5, 80, 8),
        Job("LinearFlow", folds=8),
    ]
