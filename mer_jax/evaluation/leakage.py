"""The leak report: what each protocol and each choice of the epoch adds to the accuracy of one network.

Source: Varanka et al., IEEE TAFFC 15 (2024), arXiv 2211.11425, for the two leaks in published code: people on both
    sides, and epochs chosen on the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import Interval, difference_intervals, people_intervals
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.results import STATISTICS, ProtocolResult

SELECTIONS = {"validation": "epoch chosen on validation", "test_best": "epoch chosen on the TEST"}
DEFINITION = (
    "Optimism: accuracy minus that of the reference on the same clips; each tested item is compared with the "
    "reference's prediction for its source clip. Intervals: 95 %, over people."
)
ACCURACY = {"accuracy": metrics.accuracy}


@dataclass(frozen=True)
class LeakRow:
    """One protocol with one choice of the epoch."""

    protocol: str
    selection: str  # key of SELECTIONS
    scores: Mapping[str, float]  # accuracy, uf1, uar
    interval: Interval | None  # of the accuracy, over people
    optimism: float | None  # None for the reference, and if the two have no clip in common
    optimism_interval: Interval | None
    num_items: int
    num_paired: int
    clip_in_train: float  # measured share of tested items whose clip is in training
    subject_in_train: float


def measure_leakage(results: Sequence[ProtocolResult], reference: str) -> list[LeakRow]:
    """Compares each protocol and choice of the epoch with a subject-disjoint reference.

    Args:
        results: One network, corpus and set of seeds under several protocols, with `test_best` if it is to be shown.
        reference: Name of the protocol to compare with, its epoch chosen on validation.

    Returns:
        A row for each protocol, followed by its row for `test_best`.

    Raises:
        PredictionsError: The reference is not among the results.
    """
    by_name = {result.protocol: result for result in results}
    if reference not in by_name:
        raise PredictionsError(
            f"no result of protocol {reference!r}; expected it, to compare {', '.join(by_name)} with."
        )
    rows = []
    for result in results:
        rows.append(_measure(result, result.predicted, "validation", by_name[reference]))
        if result.test_best is not None:
            rows.append(_measure(result, result.test_best.argmax(1), "test_best", by_name[reference]))
    return rows


def to_json(rows: Sequence[LeakRow]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(row) for row in rows]


def _measure(
    result: ProtocolResult, predicted: Int[np.ndarray, "m"], selection: str, reference: ProtocolResult
) -> LeakRow:
    classes = len(result.class_names)
    counts = result.subject_counts(predicted)[1]
    interval = None
    if len(counts) > 1:
        interval = people_intervals(counts, ACCURACY, num_clips=result.num_clips)["accuracy"]
    source = ("corpora", "subject", "clip_id", "seed")  # the copies of a clip have one source
    answers = dict(zip(reference.item_keys(source), reference.predicted.tolist(), strict=True))
    keys = result.item_keys(source)
    paired = np.array([row for row, key in enumerate(keys) if key in answers], int)
    optimism, optimism_interval = None, None
    if len(paired) and not (result is reference and selection == "validation"):
        theirs = np.array([answers[keys[row]] for row in paired])
        people, index = np.unique([result.people[row] for row in paired], return_inverse=True)
        true, mine = result.true[paired], predicted[paired]
        optimism = float(np.mean(mine == true) - np.mean(theirs == true))
        own, others = (
            metrics.confusion_by_group(true, each, index, classes, num_groups=len(people)) for each in (mine, theirs)
        )
        if len(people) > 1:
            optimism_interval = difference_intervals(own, others, ACCURACY)["accuracy"]
    return LeakRow(
        protocol=result.protocol,
        selection=selection,
        scores={name: float(function(counts.sum(0))) for name, function in STATISTICS.items()},
        interval=interval,
        optimism=optimism,
        optimism_interval=optimism_interval,
        num_items=len(result.true),
        num_paired=len(paired),
        clip_in_train=float(result.audit["test_clip_in_train"]),
        subject_in_train=float(result.audit["test_subject_in_train"]),
    )
