"""What every shortcut is worth: one net under each protocol and each choice of the epoch, on the same clips."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import Interval, bootstrap_difference, bootstrap_over_subjects
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.results import BOOTSTRAP_DRAWS, BOOTSTRAP_SEED, STATISTICS, ProtocolResult
from mer_jax.report.figures import BLUE, GRAY, INK, VERMILLION, finish_figure, make_figure
from mer_jax.report.table import Table

SELECTIONS = {"validation": "epoch chosen on validation", "test_best": "epoch chosen on the TEST"}
DEFINITION = (
    "Optimism: accuracy minus that of the reference on the same clips, each tested item against the reference's answer "
    "to its source clip. Interval: 95 %, bootstrap over subjects, the same for both."
)


@dataclass(frozen=True)
class LeakRow:
    """One protocol under one choice of the epoch."""

    protocol: str
    selection: str  # key of SELECTIONS
    scores: Mapping[str, float]  # accuracy, uf1, uar
    interval: Interval | None  # of the accuracy, over subjects
    optimism: float | None  # None for the reference, and where no clip is in both
    optimism_interval: Interval | None
    num_items: int
    num_paired: int
    clip_in_train: float  # share of tested items whose clip is in training, measured
    subject_in_train: float


def measure_leakage(
    results: Sequence[ProtocolResult], reference: str, *, draws: int = BOOTSTRAP_DRAWS
) -> list[LeakRow]:
    """Sets every protocol and choice of the epoch against an honest one.

    Args:
        results: One net, corpus and seeds under several protocols; with `test_best` where that is to be shown.
        reference: Name of the protocol to compare with, its epoch chosen on validation.
        draws: Of the bootstrap.

    Returns:
        A row for each protocol, followed by its row for `test_best`.

    Raises:
        PredictionsError: The reference is not among the results.
    """
    by_name = {result.protocol: result for result in results}
    if reference not in by_name:
        raise PredictionsError(
            f"no result of protocol {reference!r}; expected it to compare {', '.join(by_name)} with."
        )
    rows = []
    for result in results:
        rows.append(_measure(result, result.predicted, "validation", by_name[reference], draws))
        if result.test_best is not None:
            rows.append(_measure(result, result.test_best.argmax(1), "test_best", by_name[reference], draws))
    return rows


def _measure(
    result: ProtocolResult,
    predicted: Int[np.ndarray, "m"],
    selection: str,
    reference: ProtocolResult,
    draws: int,
) -> LeakRow:
    classes = len(result.class_names)
    confusion = metrics.confusion_matrix(result.true, predicted, classes)
    counts = _by_subject(result.subject, result.true, predicted, classes)
    options = {"seed": BOOTSTRAP_SEED, "draws": draws}
    accuracy = {"accuracy": metrics.accuracy}
    interval = bootstrap_over_subjects(counts, accuracy, **options)["accuracy"] if len(counts) > 1 else None
    answers = {
        (clip, seed): answer
        for clip, seed, answer in zip(reference.clip_id, reference.seed.tolist(), reference.predicted, strict=True)
    }
    keys = list(zip(result.clip_id, result.seed.tolist(), strict=True))
    paired = np.array([row for row, key in enumerate(keys) if key in answers], int)
    optimism, optimism_interval = None, None
    if len(paired) and not (result is reference and selection == "validation"):
        theirs = np.array([answers[keys[row]] for row in paired])
        subject, true, mine = [result.subject[row] for row in paired], result.true[paired], predicted[paired]
        optimism = float(np.mean(mine == true) - np.mean(theirs == true))
        both = [_by_subject(subject, true, each, classes) for each in (mine, theirs)]
        if len(both[0]) > 1:
            optimism_interval = bootstrap_difference(*both, accuracy, **options)["accuracy"]
    return LeakRow(
        protocol=result.protocol,
        selection=selection,
        scores={name: float(function(confusion)) for name, function in STATISTICS.items()},
        interval=interval,
        optimism=optimism,
        optimism_interval=optimism_interval,
        num_items=len(result.true),
        num_paired=len(paired),
        clip_in_train=float(result.audit["test_clip_in_train"]),
        subject_in_train=float(result.audit["test_subject_in_train"]),
    )


def _by_subject(
    subject: Sequence[str], true: np.ndarray, predicted: np.ndarray, classes: int
) -> Int[np.ndarray, "s k k"]:
    names, index = np.unique(np.asarray(subject), return_inverse=True)
    return metrics.confusion_by_group(true, predicted, index, classes, num_groups=len(names))


def make_leak_table(rows: Sequence[LeakRow], reference: str, title: str, *, surrogate: bool) -> Table:
    """The rows as a table."""
    header = (
        "Protocol and choice of the epoch", "accuracy %", "95 %", f"optimism against {reference}, points",
        "optimism, 95 %", "UF1", "UAR", "tested clip in training %", "tested person in training %", "items",
    )  # fmt: skip
    cells = [
        (
            f"{row.protocol}, {SELECTIONS[row.selection]}",
            f"{100 * row.scores['accuracy']:.1f}",
            _bounds(row.interval),
            "reference" if row.optimism is None else f"{100 * row.optimism:+.1f}",
            _bounds(row.optimism_interval, signed=True),
            *(f"{row.scores[name]:.3f}" for name in ("uf1", "uar")),
            *(f"{100 * share:.0f}" for share in (row.clip_in_train, row.subject_in_train)),
            str(row.num_items),
        )
        for row in rows
    ]
    note = (
        "Epochs chosen on the test estimate nothing: they have seen the answers. They show what that shortcut is worth."
    )
    return Table("leakage", title, header, tuple(cells), (DEFINITION, note), surrogate)


def draw_leakage(rows: Sequence[LeakRow], reference: str, *, surrogate: bool) -> bytes:
    """Accuracy of every row with its interval, and the optimism written beside it.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(1, 1, size=(9.5, 1.7 + 0.55 * len(rows)))
    axis = axes[0, 0]
    for place, row in enumerate(rows):
        cheats = row.selection == "test_best"
        color, marker = (VERMILLION, "s") if cheats or row.subject_in_train else (BLUE, "o")
        accuracy = row.scores["accuracy"]
        if row.interval:
            axis.plot([row.interval.low, row.interval.high], [place] * 2, color=color, linewidth=2.5)
        axis.plot(accuracy, place, marker, color=color, markersize=9, markerfacecolor="white" if cheats else color)
        text = f"{100 * accuracy:.1f} %"
        if row.optimism is not None:
            text += f"   {100 * row.optimism:+.1f} points"
        if row.optimism_interval:
            text += f" ({_bounds(row.optimism_interval, signed=True)})"
        axis.text(1.02, place, text, va="center", color=INK, fontsize=9)
        if row.protocol == reference and not cheats:
            axis.axvline(accuracy, color=GRAY, linestyle=":", linewidth=1.3)
    axis.set_yticks(range(len(rows)), [f"{row.protocol}\n{SELECTIONS[row.selection]}" for row in rows], fontsize=8.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axis.set_xlabel(f"accuracy, 95 % over subjects; at the right, the difference to {reference} on the same clips")
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    return finish_figure(figure, "What each shortcut is worth", "surrogate" if surrogate else "licensed")


def to_json(rows: Sequence[LeakRow]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(row) for row in rows]


def _bounds(interval: Interval | None, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return "–" if interval is None else f"{100 * interval.low:{sign}.1f} to {100 * interval.high:{sign}.1f}"
