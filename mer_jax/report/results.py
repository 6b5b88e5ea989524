"""What a protocol predicted, and the two files that keep it.

`predictions.csv` has one row for every tested item, fold and seed; `metrics.json` one
entry for every protocol. All scores follow from the predictions alone.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from mer_jax import metrics
from mer_jax.metrics import PredictionsError
from mer_jax.report.files import write_atomically
from mer_jax.statistics import bootstrap_over_subjects, wilson_interval

PROVENANCES = ("licensed", "surrogate")
FIXED_COLUMNS = (
    "clip_id", "subject", "corpus", "provenance", "protocol", "fold", "seed", "copy", "true", "predicted"
)  # fmt: skip
PROBABILITY_PREFIX = "p_"
BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_SEED = 0  # of the intervals alone: the same predictions always get the same ones


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


@dataclass(frozen=True, eq=False)
class ProtocolResult:
    """The tested items of one protocol over all folds and seeds, row by row."""

    protocol: str
    corpus: str
    provenance: str  # "licensed" or "surrogate"
    clip_id: tuple[str, ...]
    subject: tuple[str, ...]
    fold: Int[np.ndarray, "m"]  # 0-based
    copy: Int[np.ndarray, "m"]  # 0 is the clip itself, c > 0 its c-th augmented copy
    seed: Int[np.ndarray, "m"]
    true: Int[np.ndarray, "m"]
    probabilities: Float[np.ndarray, "m k"]
    class_names: tuple[str, ...]
    model: str = ""
    description: str = ""  # what the protocol does, for people
    audit: Mapping[str, object] = field(default_factory=dict)  # of `protocols.audit`
    folds: tuple[FoldSummary, ...] = ()

    def __post_init__(self):
        if self.provenance not in PROVENANCES:
            raise PredictionsError(f"provenance is {self.provenance!r}; expected one of {PROVENANCES}.")
        rows = len(self.true)
        columns = ("clip_id", "subject", "fold", "copy", "seed", "probabilities")
        wrong = [f"{len(getattr(self, name))} of {name}" for name in columns if len(getattr(self, name)) != rows]
        if wrong or not rows:
            raise PredictionsError(f"{self.protocol}: {rows} true classes but {', '.join(wrong) or 'no rows'}.")
        if self.probabilities.shape[1] != len(self.class_names):
            raise PredictionsError(
                f"{self.protocol}: {self.probabilities.shape[1]} probabilities per row for "
                f"{len(self.class_names)} classes; expected one for each of {', '.join(self.class_names)}."
            )
        bad = ~(np.isfinite(self.probabilities) & (self.probabilities >= 0)).all(1)
        bad |= ~(np.abs(self.probabilities.sum(1) - 1) < 1e-3)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise PredictionsError(
                f"{self.protocol}: the probabilities of {self.clip_id[row]} are {self.probabilities[row].tolist()}; "
                "expected finite numbers of 0 or more that sum to 1. Did the training diverge?"
            )

    @property
    def predicted(self) -> Int[np.ndarray, "m"]:
        """The most probable class of every row; of equal ones the first."""
        return self.probabilities.argmax(1)

    @property
    def num_clips(self) -> int:
        """Different clips tested: copies and repetitions under other seeds do not count."""
        return len(set(self.clip_id))

    def subject_counts(self) -> tuple[tuple[str, ...], Int[np.ndarray, "s k k"]]:
        """The tested subjects, sorted, and the confusion matrix of each."""
        names, index = np.unique(np.asarray(self.subject), return_inverse=True)
        counts = metrics.confusion_by_group(
            self.true, self.predicted, index, len(self.class_names), num_groups=len(names)
        )
        return tuple(names.tolist()), counts

    def metrics(self) -> dict[str, object]:
        """The entry of this protocol in `metrics.json`: every score, interval and baseline."""
        subjects, counts = self.subject_counts()
        confusion = counts.sum(0)
        scores = metrics.score(confusion, self.class_names)
        statistics = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}
        intervals = None  # one person says nothing about people
        if len(subjects) > 1:
            made = bootstrap_over_subjects(counts, statistics, seed=BOOTSTRAP_SEED, draws=BOOTSTRAP_DRAWS)
            intervals = {name: asdict(interval) for name, interval in made.items()}
        return {
            "corpus": self.corpus,
            "provenance": self.provenance,
            "protocol": self.protocol,
            "description": self.description,
            "model": self.model,
            "class_names": list(self.class_names),
            **scores,
            "accuracy_interval": asdict(wilson_interval(scores["accuracy"], self.num_clips)),
            "bootstrap": intervals,
            "chance": _baseline(metrics.guess_uniformly(confusion), statistics),
            "majority": _baseline(metrics.guess_majority(confusion), statistics),
            "n_clips": self.num_clips,
            "n_items": len(self.true),
            "n_subjects": len(subjects),
            "seeds": np.unique(self.seed).tolist(),
            "audit": dict(self.audit),
            "folds": [asdict(each) for each in self.folds],
        }


def write_metrics(path: Path, results: Sequence[ProtocolResult]) -> Path:
    """Writes `metrics.json`: an object with one entry for every protocol, by its name."""
    entries = {result.protocol: result.metrics() for result in results}
    return write_atomically(path, json.dumps(entries, indent=2, allow_nan=False) + "\n")


def write_predictions(path: Path, results: Sequence[ProtocolResult]) -> Path:
    """Writes `predictions.csv`: a row for every tested item.

    Columns: `clip_id, subject, corpus, provenance, protocol, fold, seed, copy, true, predicted` and, for every
    class, `p_<class>`. `true` and `predicted` are class names; probabilities have 9 digits, enough to restore a
    float32 exactly.

    Args:
        path: The file.
        results: All of the same classes.

    Returns:
        The path.

    Raises:
        PredictionsError: The results differ in their classes.
    """
    class_names = results[0].class_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED_COLUMNS, *(PROBABILITY_PREFIX + name for name in class_names)])
    for result in results:
        if result.class_names != class_names:
            raise PredictionsError(
                f"{result.protocol} has classes {result.class_names}; expected {class_names} as before."
            )
        predicted = result.predicted
        for row in range(len(result.true)):
            writer.writerow(
                [result.clip_id[row], result.subject[row], result.corpus, result.provenance, result.protocol]
                + [result.fold[row], result.seed[row], result.copy[row]]
                + [class_names[result.true[row]], class_names[predicted[row]]]
                + [format(value, ".9g") for value in result.probabilities[row].tolist()]
            )
    return write_atomically(path, text.getvalue())


def read_predictions(path: Path) -> tuple[ProtocolResult, ...]:
    """Reads `predictions.csv` back: a result for every protocol, in the order of the file.

    The model, the protocol's description and the course of the training are not in this file and stay empty.

    Args:
        path: A file as `write_predictions` makes it.

    Returns:
        The results.

    Raises:
        PredictionsError: A missing column, an unknown class, no rows, or values that are no numbers.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        missing = [name for name in FIXED_COLUMNS if name not in header]
        probabilities = [name for name in header if name.startswith(PROBABILITY_PREFIX)]
        class_names = tuple(name.removeprefix(PROBABILITY_PREFIX) for name in probabilities)
        if missing or not class_names:
            missing = missing or [f"{PROBABILITY_PREFIX}<class>"]
            raise PredictionsError(
                f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(header) or 'none'}."
            )
        by_protocol: dict[str, list[dict[str, str]]] = {}
        for row in reader:
            by_protocol.setdefault(row["protocol"], []).append(row)
    if not by_protocol:
        raise PredictionsError(f"{path} holds no predictions: expected a row for every tested item.")
    try:
        return tuple(_from_rows(group, class_names) for group in by_protocol.values())
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, PredictionsError):
            raise PredictionsError(f"{path}: {error}") from error
        raise PredictionsError(
            f"{path} holds a value that cannot be read ({error}); expected class names of {', '.join(class_names)} in "
            "`true` and `predicted`, and numbers in `fold`, `seed`, `copy` and the probabilities."
        ) from error


def _from_rows(rows: list[dict[str, str]], class_names: tuple[str, ...]) -> ProtocolResult:
    index = {name: number for number, name in enumerate(class_names)}
    result = ProtocolResult(
        protocol=rows[0]["protocol"],
        corpus=rows[0]["corpus"],
        provenance=rows[0]["provenance"],
        clip_id=tuple(row["clip_id"] for row in rows),
        subject=tuple(row["subject"] for row in rows),
        fold=np.array([int(row["fold"]) for row in rows]),
        copy=np.array([int(row["copy"]) for row in rows]),
        seed=np.array([int(row["seed"]) for row in rows]),
        true=np.array([index[row["true"]] for row in rows]),
        probabilities=np.array([[float(row[PROBABILITY_PREFIX + name]) for name in class_names] for row in rows]),
        class_names=class_names,
    )
    contradicted = np.flatnonzero(result.predicted != np.array([index[row["predicted"]] for row in rows]))
    if contradicted.size:
        row = contradicted[0]
        raise PredictionsError(
            f"{rows[row]['clip_id']} is said to be {rows[row]['predicted']!r}, but the most probable class "
            f"is {class_names[result.predicted[row]]!r}."
        )
    return result


def _baseline(confusion: Float[np.ndarray, "k k"], statistics: Mapping) -> dict[str, float]:
    return {name: float(function(confusion)) for name, function in statistics.items()}
