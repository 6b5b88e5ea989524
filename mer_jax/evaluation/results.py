"""Predictions under one protocol, and the scores that follow from them.

`metrics.json` has one entry for each protocol.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mer_jax.data.clips import PROVENANCES
from mer_jax.evaluation import calibration, metrics
from mer_jax.evaluation.intervals import people_intervals, wilson_interval
from mer_jax.evaluation.metrics import PredictionsError, Statistics
from mer_jax.system.files import write_atomically

# Scores with an interval, a baseline, a mean over folds and a spread over seeds.
STATISTICS: Statistics = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}
OF_PARTS: Statistics = {**STATISTICS, "f1_macro": metrics.f1_macro, "precision_macro": metrics.precision_macro}

DEFINITIONS = {
    **metrics.DEFINITIONS,
    **calibration.DEFINITIONS,
    "fold_means": "Mean over folds of each fold's own score, all folds weighted equally. Some papers print it; a fold "
    "of two clips then weighs as much as one of forty, and a class that a fold lacks is left out of its UF1 and UAR.",
    "seeds": "Mean and standard deviation (n − 1) over seeds of the score of each seed.",
    "chance": "Expected score of uniform random guessing on these test items: the mean over guesses.",
    "majority": "Score of always predicting the most frequent true class on these test items.",
    "test_best": "Score if, for each fold, the epoch with the best TEST accuracy is kept. It estimates nothing, "
    "because the choice uses the answers. Shown to tell how much this shortcut, common in published code, adds.",
}


@dataclass(frozen=True)
class FoldSummary:
    """The course of training of one fold."""

    fold: int
    name: str
    seed: int
    epochs_run: int
    best_epoch: int  # the epoch whose weights were tested, 1-based
    seconds: float
    stop_reason: str
    missing: bool = False  # training ended without predictions
    test_best_epoch: int | None = None  # of the diagnostic, 1-based


@dataclass(frozen=True, eq=False)
class ProtocolResult:
    """Predictions for the tested items of one protocol, over all folds and seeds, row by row.

    A clip is identified by its corpus, subject and clip id together: in CASME II, for instance, clip names repeat
    between subjects. `clip_id` and `subject` may be empty where another system does not state them. Without clip ids,
    each row of a seed is a clip of its own; without subjects, nothing is said about people.
    """

    protocol: str
    corpus: str  # name of the whole corpus
    provenance: str  # one of PROVENANCES
    clip_id: tuple[str, ...]
    subject: tuple[str, ...]
    fold: Int[np.ndarray, "m"]  # 0-based
    copy: Int[np.ndarray, "m"]  # 0 is the clip itself, c > 0 its c-th augmented copy
    seed: Int[np.ndarray, "m"]
    true: Int[np.ndarray, "m"]
    probabilities: Float[np.ndarray, "m k"] | None  # None if only classes were given
    class_names: tuple[str, ...]
    stated: Int[np.ndarray, "m"] | None = None  # predicted classes, if given
    corpora: tuple[str, ...] = ()  # corpus of each row; empty if there is only one
    model: str = ""
    description: str = ""  # of the protocol, for readers
    audit: Mapping[str, Any] = field(default_factory=dict)  # from `protocols.audit`
    folds: tuple[FoldSummary, ...] = ()
    # Probabilities at each fold's epoch with the best TEST accuracy: the diagnostic `test_best`.
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
                    f"{self.protocol}: clip {self.describe_row(row)} is predicted twice, in rows {first + 1} and "
                    f"{row + 1}; expected once for each seed and copy. Give repetitions different values of `seed`, "
                    "and augmented copies different values of `copy`. If names repeat between people or corpora, add "
                    "the columns `subject` and `corpus`."
                )

    def item_keys(self, columns: Sequence[str] = ("corpora", "subject", "clip_id", "copy", "seed")) -> list[tuple]:
        """Identifies each row by these columns; a column that is empty is left out. All of them make rows unique."""
        values = [getattr(self, name) for name in columns]
        return list(zip(*(list(each) for each in values if len(each)), strict=True))

    def describe_row(self, row: int) -> str:
        """The clip of a row (0-based) for messages, with its corpus and subject if known; else the row's number."""
        if not self.clip_id:
            return f"row {row + 1}"
        return "/".join(str(each) for each in self.item_keys(("corpora", "subject", "clip_id"))[row])

    @functools.cached_property
    def predicted(self) -> Int[np.ndarray, "m"]:
        """Predicted class of each row: the stated one, else the most probable (the first of equal ones)."""
        if self.stated is not None:
            return self.stated
        assert self.probabilities is not None  # checked when created
        return self.probabilities.argmax(1)

    @property
    def correct(self) -> Bool[np.ndarray, "m"]:
        """Whether each row was predicted correctly."""
        return self.predicted == self.true

    @functools.cached_property
    def clip_index(self) -> Int[np.ndarray, "m"] | None:
        """Number of the clip of each row, from 0; None if rows cannot be matched to clips.

        Without clip ids, several seeds that list the same people and classes in the same order are taken to list the
        same clips.
        """
        if self.clip_id:
            number: dict[tuple, int] = {}
            keys = self.item_keys(("corpora", "subject", "clip_id"))
            return np.array([number.setdefault(key, len(number)) for key in keys])
        repetitions = np.unique(np.stack([self.seed, self.copy], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        blocks = [np.flatnonzero(repetitions == each) for each in range(int(repetitions.max()) + 1)]
        facts = self.item_keys(("corpora", "subject", "true"))
        if any([facts[row] for row in block] != [facts[row] for row in blocks[0]] for block in blocks):
            return None
        index = np.empty(len(self.true), int)
        for block in blocks:
            index[block] = np.arange(len(block))
        return index

    @functools.cached_property
    def num_clips(self) -> int:
        """Number of different clips tested; copies and repetitions under other seeds do not count.

        Where rows cannot be matched to clips, the largest number of rows under one seed: a lower bound.
        """
        if self.clip_index is not None:
            return int(self.clip_index.max()) + 1
        repetitions = np.stack([self.seed, self.copy], axis=1)
        return int(np.unique(repetitions, axis=0, return_counts=True)[1].max())

    @functools.cached_property
    def people(self) -> tuple[str, ...]:
        """The person of each row; empty if unknown. Where subject names repeat between corpora, with the corpus."""
        if not self.subject or not self.corpora:
            return self.subject
        corpora_of: dict[str, set[str]] = {}
        for subject, corpus in zip(self.subject, self.corpora, strict=True):
            corpora_of.setdefault(subject, set()).add(corpus)
        if all(len(each) == 1 for each in corpora_of.values()):
            return self.subject
        return tuple(f"{corpus}/{subject}" for subject, corpus in zip(self.subject, self.corpora, strict=True))

    def subject_counts(self, predicted: Int[np.ndarray, "m"] | None = None) -> tuple[tuple, Int[np.ndarray, "s k k"]]:
        """The tested people, sorted, and the confusion matrix of each.

        Args:
            predicted: Other predictions for the same rows, such as those of `test_best`.
        """
        return self._counts_by(np.asarray(self.people), predicted)

    def _counts_by(
        self, column: np.ndarray, predicted: Int[np.ndarray, "m"] | None = None
    ) -> tuple[tuple, Int[np.ndarray, "g k k"]]:
        names, index = np.unique(column, return_inverse=True)
        predicted = self.predicted if predicted is None else predicted
        counts = metrics.confusion_by_group(self.true, predicted, index, len(self.class_names), num_groups=len(names))
        return tuple(names.tolist()), counts

    def scores(self) -> dict[str, Any]:
        """All scores with intervals and baselines, as in `metrics.json`. Computed once.

        Returns:
            `accuracy`, `uf1`, `uar` and the other scores of `metrics.score`; `intervals`, 95 % over people, of the
            first three (None for a single person; over clips if people are unknown); `clip_interval`, Wilson's interval
            of the accuracy, as if clips were independent; and more.
        """
        return self._scores

    @functools.cached_property
    def _scores(self) -> dict[str, Any]:
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
            "intervals": self._intervals(),
            "clip_interval": asdict(wilson_interval(scores["accuracy"], self.num_clips)),
            "chance": metrics.score_chance(confusion),
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

    def _intervals(self, predicted: Int[np.ndarray, "m"] | None = None) -> dict[str, dict] | None:
        """Over people if they are known, else over clips; None where that is one person or one clip."""
        if self.subject:
            unit, (_, counts) = "people", self.subject_counts(predicted)
        else:
            # Rows that cannot be matched to clips are spread over as many clips as one seed has. The interval is then
            # that of so many independent clips.
            index = np.arange(len(self.true)) % self.num_clips if self.clip_index is None else self.clip_index
            unit, (_, counts) = "clips", self._counts_by(index, predicted)
        if len(counts) < 2:
            return None
        made = people_intervals(counts, STATISTICS, num_clips=self.num_clips, unit=unit)
        return {name: asdict(interval) for name, interval in made.items()}

    def _calibration(self) -> dict[str, Any] | None:
        if self.probabilities is None:
            return None
        bins = calibration.bin_confidences(self.probabilities, self.true)
        return {
            "ece": calibration.ece(self.probabilities, self.true),
            "brier": calibration.brier(self.probabilities, self.true),
            "bins": [asdict(each) for each in bins],
        }

    def _fold_means(self) -> dict[str, float | int]:
        pairs = np.stack([self.seed, self.fold], axis=1)
        _, counts = self._counts_by(np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1))
        means = {name: float(np.mean(function(counts))) for name, function in OF_PARTS.items()}
        return {"folds": len(counts), **means}

    def _seed_spread(self) -> dict[str, dict] | None:
        seeds, counts = self._counts_by(self.seed)
        if len(seeds) < 2:
            return None
        spread = {}
        for name, function in STATISTICS.items():
            values = np.asarray(function(counts))
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

    def _test_best(self) -> dict[str, Any] | None:
        if self.test_best is None:
            return None
        predicted = self.test_best.argmax(1)
        confusion = metrics.confusion_matrix(self.true, predicted, len(self.class_names))
        return {**_evaluate(confusion, OF_PARTS), "intervals": self._intervals(predicted)}


def write_metrics(path: Path, results: Sequence[ProtocolResult]) -> Path:
    """Writes `metrics.json`: an object with one entry for each protocol, by name."""
    entries = {result.protocol: result.scores() for result in results}
    return write_atomically(path, json.dumps(entries, indent=2, allow_nan=False) + "\n")


def _evaluate(confusion: np.ndarray, functions: Statistics) -> dict[str, float]:
    return {name: float(function(confusion)) for name, function in functions.items()}
