"""What a protocol predicted, and the scores that follow from that alone.

`metrics.json` has one entry for every protocol.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from mer_jax.evaluation import calibration, metrics
from mer_jax.evaluation.intervals import bootstrap_over_subjects, wilson_interval
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.files import write_atomically

PROVENANCES = ("licensed", "surrogate", "unstated")  # the last: a file of another system that does not say
BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_SEED = 0  # of the intervals alone: the same predictions always get the same ones

# Scores with an interval, a baseline, a mean over folds and a spread over seeds.
STATISTICS = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}
OF_PARTS = STATISTICS | {"f1_macro": metrics.f1_macro, "precision_macro": metrics.precision_macro}

DEFINITIONS = {
    **metrics.DEFINITIONS,
    **calibration.DEFINITIONS,
    "fold_means": "Mean over folds of each fold's own score, all folds weighing alike. Some papers print it; a fold of "
    "two clips then weighs as much as one of forty, and a class that a fold lacks is left out of its UF1 and UAR.",
    "seeds": "Mean and standard deviation (n − 1) over seeds of the score of each seed.",
    "chance": "What uniform guessing is expected to reach on these test items.",
    "majority": "What always answering the most frequent true class reaches on these test items.",
    "test_best": "What is reached if, for each fold, the epoch with the best TEST accuracy is kept. It estimates "
    "nothing: the choice has seen the answers. Shown to tell what this shortcut, common in published code, is worth.",
}


@dataclass(frozen=True)
class FoldSummary:
    """How the training of one fold went."""

    fold: int
    name: str
    seed: int
    epochs_run: int
    best_epoch: int  # the epoch whose weights were tested, 1-based
    seconds: float
    stop_reason: str
    missing: bool = False  # it ended without predictions
    test_best_epoch: int | None = None  # of the diagnostic, 1-based


@dataclass(frozen=True, eq=False)
class ProtocolResult:
    """The tested items of one protocol over all folds and seeds, row by row.

    `clip_id` and `subject` may be empty where a system does not tell them: each row is then a clip of its own, and
    nothing is said about people.
    """

    protocol: str
    corpus: str  # the name of the whole
    provenance: str  # one of PROVENANCES
    clip_id: tuple[str, ...]
    subject: tuple[str, ...]
    fold: Int[np.ndarray, "m"]  # 0-based
    copy: Int[np.ndarray, "m"]  # 0 is the clip itself, c > 0 its c-th augmented copy
    seed: Int[np.ndarray, "m"]
    true: Int[np.ndarray, "m"]
    probabilities: Float[np.ndarray, "m k"] | None  # None: only classes were given
    class_names: tuple[str, ...]
    stated: Int[np.ndarray, "m"] | None = None  # the predicted classes, where they were given
    corpora: tuple[str, ...] = ()  # of every row; empty where there is one corpus
    model: str = ""
    description: str = ""  # what the protocol does, for people
    audit: Mapping[str, object] = field(default_factory=dict)  # of `protocols.audit`
    folds: tuple[FoldSummary, ...] = ()
    # At each fold's epoch of the best TEST accuracy: the diagnostic `test_best`.
    test_best: Float[np.ndarray, "m k"] | None = None

    def __post_init__(self):
        if self.provenance not in PROVENANCES:
            raise PredictionsError(f"provenance is {self.provenance!r}; expected one of {PROVENANCES}.")
        rows = len(self.true)
        columns = {name: getattr(self, name) for name in ("clip_id", "subject", "corpora", "fold", "copy", "seed")}
        columns |= {name: getattr(self, name) for name in ("probabilities", "stated", "test_best")}
        may_be_empty = ("clip_id", "subject", "corpora")
        wrong = [
            f"{len(column)} of {name}"
            for name, column in columns.items()
            if column is not None and len(column) != rows and not (name in may_be_empty and not len(column))
        ]
        if wrong or not rows:
            raise PredictionsError(f"{self.protocol}: {rows} true classes but {', '.join(wrong) or 'no rows'}.")
        if self.probabilities is None and self.stated is None:
            raise PredictionsError(f"{self.protocol}: neither predicted classes nor probabilities; expected one.")
        for probabilities in (self.probabilities, self.test_best):
            if probabilities is not None:
                self._check_probabilities(probabilities)
        self._check_repetition()

    def _check_probabilities(self, probabilities: np.ndarray) -> None:
        if probabilities.shape[1] != len(self.class_names):
            raise PredictionsError(
                f"{self.protocol}: {probabilities.shape[1]} probabilities per row for "
                f"{len(self.class_names)} classes; expected one for each of {', '.join(self.class_names)}."
            )
        bad = ~(np.isfinite(probabilities) & (probabilities >= 0)).all(1)
        bad |= ~(np.abs(probabilities.sum(1) - 1) < 1e-3)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise PredictionsError(
                f"{self.protocol}: the probabilities of {self.describe_row(row)} are {probabilities[row].tolist()}; "
                "expected finite numbers of 0 or more that sum to 1. Did the training diverge?"
            )

    def _check_repetition(self) -> None:
        if not self.clip_id or len(set(self.clip_id)) == len(self.clip_id):
            return
        seen: dict[tuple, int] = {}
        for row, key in enumerate(self.item_keys()):
            if (first := seen.setdefault(key, row)) != row:
                raise PredictionsError(
                    f"{self.protocol}: clip {self.clip_id[row]} is predicted twice, in rows {first + 1} and {row + 1}; "
                    "expected once for each seed and copy. Give repetitions a `seed` of their own, and copies a `copy`."
                )

    def item_keys(self) -> list[tuple[str, int, int]]:
        """Clip, copy and seed of every row, which no two rows share; row numbers stand for clips without an id."""
        names = self.clip_id or tuple(map(str, range(len(self.true))))
        return list(zip(names, self.copy.tolist(), self.seed.tolist(), strict=True))

    def describe_row(self, row: int) -> str:
        """The clip of a row (0-based), or its number, for messages."""
        return self.clip_id[row] if self.clip_id else f"row {row + 1}"

    @functools.cached_property
    def predicted(self) -> Int[np.ndarray, "m"]:
        """The class given to every row: as stated, else the most probable one; of equal ones the first."""
        return self.probabilities.argmax(1) if self.stated is None else self.stated

    @property
    def correct(self) -> Bool[np.ndarray, "m"]:
        """Whether each row was given its true class."""
        return self.predicted == self.true

    @functools.cached_property
    def num_clips(self) -> int:
        """Different clips tested: copies and repetitions under other seeds do not count."""
        return len(set(self.clip_id)) if self.clip_id else len(self.true)

    def subject_counts(self) -> tuple[tuple[str, ...], Int[np.ndarray, "s k k"]]:
        """The tested subjects, sorted, and the confusion matrix of each."""
        return self._counts_by(np.asarray(self.subject))

    def _counts_by(self, column: np.ndarray) -> tuple[tuple, Int[np.ndarray, "g k k"]]:
        names, index = np.unique(column, return_inverse=True)
        counts = metrics.confusion_by_group(
            self.true, self.predicted, index, len(self.class_names), num_groups=len(names)
        )
        return tuple(names.tolist()), counts

    @functools.cached_property
    def entry(self) -> dict[str, object]:
        """`metrics()` with the usual number of draws, worked out once."""
        return self.metrics()

    def metrics(self, *, draws: int = BOOTSTRAP_DRAWS) -> dict[str, object]:
        """The entry of this protocol in `metrics.json`: every score, interval and baseline.

        Args:
            draws: Bootstrap samples.
        """
        subjects, counts = self.subject_counts() if self.subject else ((), self._counts_by(np.zeros(len(self.true)))[1])
        confusion = counts.sum(0)
        scores = metrics.score(confusion, self.class_names)
        missing = [asdict(fold) for fold in self.folds if fold.missing]
        return {
            "corpus": self.corpus,
            "provenance": self.provenance,
            "protocol": self.protocol,
            "description": self.description,
            "model": self.model,
            "class_names": list(self.class_names),
            **scores,
            "accuracy_interval": asdict(wilson_interval(scores["accuracy"], self.num_clips)),
            "bootstrap": self._intervals(counts, draws),
            "chance": _evaluate(metrics.guess_uniformly(confusion), STATISTICS),
            "majority": _evaluate(metrics.guess_majority(confusion), STATISTICS),
            "calibration": self._calibration(),
            "fold_means": self._fold_means(),
            "seed_spread": self._seed_spread(),
            "per_corpus": self._per_corpus(),
            "per_subject": {
                name: {"right": int(np.trace(each)), "items": int(each.sum())}
                for name, each in zip(subjects, counts, strict=False)
            },
            "n_clips": self.num_clips,
            "n_items": len(self.true),
            "n_subjects": len(subjects),
            "seeds": np.unique(self.seed).tolist(),
            "audit": dict(self.audit),
            "folds": [asdict(each) for each in self.folds],
            "missing_folds": missing,
            "test_best": self._test_best(),
        }

    def _intervals(self, counts: Int[np.ndarray, "s k k"], draws: int) -> dict[str, dict] | None:
        if self.subject and len(counts) < 2:
            return None  # one person says nothing about people
        unit = "subjects"
        if not self.subject:
            if self.num_clips < 2:
                return None
            unit, (_, counts) = "clips", self._counts_by(np.asarray(self.clip_id or range(len(self.true))))
        made = bootstrap_over_subjects(counts, STATISTICS, seed=BOOTSTRAP_SEED, draws=draws, unit=unit)
        return {name: asdict(interval) for name, interval in made.items()}

    def _calibration(self) -> dict[str, object] | None:
        if self.probabilities is None:
            return None
        bins = calibration.bin_confidences(self.probabilities, self.true)
        return {
            "ece": calibration.ece(self.probabilities, self.true),
            "brier": calibration.brier(self.probabilities, self.true),
            "bins": [asdict(each) for each in bins],
        }

    def _fold_means(self) -> dict[str, float | int]:
        fold_of_seed = self.seed.astype(np.int64) * (int(self.fold.max()) + 1) + self.fold
        _, counts = self._counts_by(fold_of_seed)
        means = {name: float(np.mean(function(counts))) for name, function in OF_PARTS.items()}
        return {"folds": len(counts), **means}

    def _seed_spread(self) -> dict[str, dict] | None:
        seeds, counts = self._counts_by(self.seed)
        if len(seeds) < 2:
            return None
        spread = {}
        for name, function in STATISTICS.items():
            values = function(counts)
            spread[name] = {
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)),
                "by_seed": {str(seed): float(value) for seed, value in zip(seeds, values, strict=True)},
            }
        return spread

    def _per_corpus(self) -> dict[str, dict]:
        if len(set(self.corpora)) < 2:
            return {}
        names, counts = self._counts_by(np.asarray(self.corpora))
        return {
            name: {
                **_evaluate(each, OF_PARTS),
                "majority": _evaluate(metrics.guess_majority(each), STATISTICS),
                "n_items": int(each.sum()),
                "confusion": each.tolist(),
            }
            for name, each in zip(names, counts, strict=True)
        }

    def _test_best(self) -> dict[str, object] | None:
        if self.test_best is None:
            return None
        confusion = metrics.confusion_matrix(self.true, self.test_best.argmax(1), len(self.class_names))
        scores = _evaluate(confusion, OF_PARTS)
        return {**scores, "accuracy_interval": asdict(wilson_interval(scores["accuracy"], self.num_clips))}


def write_metrics(path: Path, results: Sequence[ProtocolResult]) -> Path:
    """Writes `metrics.json`: an object with one entry for every protocol, by its name."""
    entries = {result.protocol: result.entry for result in results}
    return write_atomically(path, json.dumps(entries, indent=2, allow_nan=False) + "\n")


def _evaluate(
    confusion: np.ndarray, functions: Mapping[str, Callable[[np.ndarray], np.ndarray | np.floating]]
) -> dict[str, float]:
    return {name: float(function(confusion)) for name, function in functions.items()}
