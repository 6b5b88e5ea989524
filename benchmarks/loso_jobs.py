"""Whole protocols to time: random corpora in the sizes of real ones, the folds, and how ours and scikit-learn run them.

A run returns the scores of every tested clip, fold after fold, and a loss for networks. Every side gets the same
pictures, labels and folds. Nothing validates, and the last epoch is tested, as in most published LOSO.
"""

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import mer_jax
from mer_jax.baselines import LbpTop, LinearFlow
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.models import HybridAttention3DNet, OffApexNet, STSTNet
from mer_jax.protocols import PROTOCOLS, Fold, Plan, make_plan
from mer_jax.sizes import FACE_SIZE, MOTION_SIZE
from mer_jax.system.machine import count_processors

# clips and people, and clips of each class
_SMIC = (((164, 16),), (70, 51, 43))
_MEGC2019 = (((164, 16), (145, 24), (133, 28)), (250, 109, 83))  # SMIC, CASME II, SAMM
_LBP_TOP_BLOCKS, _PATTERNS = 3 * 8 * 8, 59  # of LbpTop's default
FRAMES = 18


class StoredLbpTop(LbpTop):
    """LBP-TOP whose features are random histograms, so that only its classifier is timed."""

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Square roots of random shares of patterns, in the shape of LBP-TOP's."""
        shares = np.random.default_rng(0).dirichlet(np.ones(_PATTERNS), (len(pictures), _LBP_TOP_BLOCKS))
        return np.sqrt(shares).reshape(len(pictures), -1)


MODELS: dict[str, Callable[[], Any]] = {
    "STSTNet": STSTNet,
    "OFF-ApexNet": OffApexNet,
    "Hybrid Attention-3DNet": HybridAttention3DNet,
    "LinearFlow": LinearFlow,
    "LBP-TOP's classifier": StoredLbpTop,
}
NETWORKS = tuple(MODELS)[:3]


@dataclasses.dataclass(frozen=True)
class Job:
    """One protocol under one setting.

    Attributes:
        name: A key of `MODELS`.
        epochs: Of each fold; 0 for a baseline.
        batch: Clips in a batch; 0 for a baseline.
        folds: The first so many of the protocol; 0 for all.
        threads: Threads of the peer: PyTorch's, or those of scikit-learn's BLAS; 0 leaves them as they are.
        variant: Of the peer: `fused` for the one-kernel Adam, `default PCA` for the solver that scikit-learn chooses.
    """

    name: str
    epochs: int = 0
    batch: int = 0
    folds: int = 0
    threads: int = 0
    variant: str = ""


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of a protocol took, from clips in memory to scores.

    Attributes:
        scores: Of every tested clip, fold after fold [n, k]: probabilities, or decision values.
        loss: Mean over folds of the training loss of the last epoch; 0 for a baseline.
        seconds: Wall clock.
        processor_s: Of all threads.
        compile_s: Part of `seconds` in which something was being traced or compiled.
    """

    scores: np.ndarray
    loss: float
    seconds: float
    processor_s: float
    compile_s: float = 0.0


class Stopwatch:
    """Wall and processor seconds since it was made."""

    def __init__(self):
        self._start, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Returns both, as fields of `Run`."""
        return {
            "seconds": time.perf_counter() - self._start,
            "processor_s": time.process_time() - self._processor,
        }


def make_clips(name: str) -> Clips:
    """Makes random clips of the kind that a model takes: motion features of 68 people, or faces of 16."""
    is_motion = name in ("STSTNet", "OFF-ApexNet", "LinearFlow")
    corpora, counts = _MEGC2019 if is_motion else _SMIC
    rng = np.random.default_rng(0)
    subjects = [
        f"corpus{number}_s{index % people:02d}"
        for number, (clips, people) in enumerate(corpora)
        for index in range(clips)
    ]
    shape = (MOTION_SIZE, MOTION_SIZE, 3) if is_motion else (FRAMES, FACE_SIZE, FACE_SIZE)
    pictures = rng.integers(0, 256, (len(subjects), *shape), np.uint8)
    return Clips.from_arrays(pictures, rng.permutation(np.repeat(np.arange(3), counts)), subjects)


def make_folds(clips: Clips, number: int) -> tuple[Fold, ...]:
    """Draws the first folds of leave-one-subject-out, or all of them if `number` is 0."""
    plan = make_plan("loso", subjects=clips.subject, labels=clips.label, seed=0, validation_share=0.0)
    return plan.folds[: number or None]


def run_ours(job: Job, clips: Clips) -> Run:
    """Runs a protocol by `mer_jax.train`."""
    protocol = "loso"
    if job.folds:
        protocol = "part of loso"
        PROTOCOLS[protocol] = lambda split: _take_folds(PROTOCOLS["loso"](split), job.folds)
    network = {"epochs": job.epochs, "min_epochs": 0, "batch_size": job.batch} if job.epochs else {}
    experiment = Experiment(
        model=MODELS[job.name](), protocols=(protocol,), validation_share=0.0, selection="last", **network
    )
    losses, train = [], mer_jax.train  # imports the engine, which is lazy
    if not job.epochs:
        importlib.import_module("sklearn.svm")  # likewise; baselines import it when the first one is fitted

    def on_epochs(lane, rows):
        losses.extend(row["train_loss"] for row in rows if row["epoch"] == job.epochs)

    with CompileClock() as compiling:
        watch = Stopwatch()
        scores = train(experiment, clips, on_epochs=on_epochs)[protocol].probabilities
        times = watch.read()
    return Run(np.asarray(scores), float(np.mean(losses or [0.0])), **times, compile_s=compiling.seconds())


def _take_folds(plan: Plan, number: int) -> Plan:
    return dataclasses.replace(plan, folds=plan.folds[:number])


class CompileClock:
    """Measures how long, in all threads together, something is traced or compiled inside a `with` block."""

    def __enter__(self) -> "CompileClock":
        self._intervals: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            self._intervals.append((now - duration_secs, now))

    def __exit__(self, *_: Any) -> None:
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def seconds(self) -> float:
        """Length of the union of the intervals: programs are traced inside others, and in several threads."""
        total, end = 0.0, float("-inf")
        for start, stop in sorted(self._intervals):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        return total


def run_sklearn(job: Job, clips: Clips) -> Run:
    """Runs the protocol of a baseline as one would with scikit-learn alone, in one loop over the folds."""
    from sklearn.decomposition import PCA
    from sklearn.svm import LinearSVC
    from threadpoolctl import threadpool_limits

    model = MODELS[job.name]()
    solver = "auto" if job.variant == "default PCA" else "full"
    with threadpool_limits(job.threads or None, user_api="blas"):
        watch = Stopwatch()
        features, scores = model.features(clips.pictures), []
        for fold in make_folds(clips, job.folds):
            train, test = features[fold.train], features[fold.test]
            if isinstance(model, LinearFlow):
                components = PCA(model.components, svd_solver=solver, random_state=0).fit(train)
                train, test = components.transform(train), components.transform(test)
            mean = train.mean(axis=0)
            length = np.sqrt(((train - mean) ** 2).sum(axis=1).mean())
            classifier = LinearSVC(C=model.penalty, class_weight="balanced", max_iter=100_000, random_state=0)
            classifier.fit((train - mean) / length, clips.label[fold.train])
            scores.append(classifier.decision_function((test - mean) / length))
        times = watch.read()
    return Run(np.concatenate(scores), 0.0, **times)


def list_threads() -> list[int]:
    """Numbers of threads that a peer is tried with: one, and one for each processor."""
    return sorted({1, count_processors()})


def check_baseline(name: str) -> None:
    """Checks on two folds that scikit-learn alone answers what ours answers.

    Raises:
        ValueError: It does not.
    """
    job, clips = Job(name, folds=2, threads=1), make_clips(name)
    ours, decision = run_ours(job, clips).scores, run_sklearn(job, clips).scores
    shares = np.exp(decision - decision.max(axis=1, keepdims=True))
    difference = float(np.abs(shares / shares.sum(axis=1, keepdims=True) - ours).max())
    if not difference < 1e-4:
        raise ValueError(f"{name}: scikit-learn alone and ours differ by {difference:.1e} in a share, expected 1e-4")


def split_labels(folds: tuple[Fold, ...], labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields training items, test items and class weights N / n_k of every fold."""
    for fold in folds:
        counts = np.bincount(labels[fold.train], minlength=3)
        yield np.flatnonzero(fold.train), np.flatnonzero(fold.test), (counts.sum() / counts).astype(np.float32)
