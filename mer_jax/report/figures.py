"""The pictures of the run folder, as PNG bytes.

The colours are those of Okabe and Ito, which colour-blind readers can distinguish; whatever differs in colour also
differs in marker, line or text. A picture of surrogate data says so in its title and at its foot.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mer_jax.evaluation.gap import PAPER, Entries, measure_gap
from mer_jax.sizes import HALF_HEIGHT

BLUE, VERMILLION, GRAY, INK = "#0072B2", "#D55E00", "#6B7280", "#1F2937"
RUST = "#A84300"  # vermillion for small text, dark enough on white
DPI = 150
FRAMES_SHOWN = 6
SURROGATE_FOOT = "SURROGATE corpus: rendered faces, not recordings of people. Not comparable with published numbers."


@dataclass(frozen=True, eq=False)
class FaceExample:
    """One clip, as stored and as the network sees it."""

    class_name: str
    clip_id: str
    subject: str
    stored: UInt8[np.ndarray, "t h w"]  # the whole face
    fed: Float[np.ndarray, "t h w"]  # normalised, not augmented


def draw_confusion(entries: Entries) -> bytes:
    """Draws confusion matrices, one panel per protocol: counts, and shares of each true class as shades.

    Args:
        entries: Scores by protocol, as in `metrics.json`.

    Returns:
        A PNG.
    """
    columns = min(3, len(entries))
    rows = -(-len(entries) // columns)
    figure, axes = make_figure(rows, columns, size=(4.3 * columns, 4.6 * rows + 0.8), layout="compressed")
    for axis in axes.flat[len(entries) :]:
        axis.set_axis_off()
    for axis, (name, entry) in zip(axes.flat, entries.items(), strict=False):
        counts = np.array(entry["confusion"])
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(counts):
            ink = "white" if shares[i, j] > 0.55 else INK
            axis.text(j, i - 0.08, f"{count}", ha="center", va="center", color=ink, fontsize=14, weight="bold")
            axis.text(j, i + 0.2, f"{100 * shares[i, j]:.0f} %", ha="center", va="center", color=ink, fontsize=9)
        ticks = range(len(counts))
        axis.set_xticks(ticks, entry["class_names"])
        axis.set_yticks(ticks, entry["class_names"], rotation=90, va="center")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        axis.set_title(f"{name}\naccuracy {100 * entry['accuracy']:.1f} %, {entry['n_items']} items", fontsize=11)
    return finish_figure(figure, "Confusion: counts, and shares of each true class", _provenance(entries))


def draw_curves(history: Sequence[Mapping[str, Any]], entries: Entries) -> bytes:
    """Draws loss and accuracy by epoch, a row per protocol and a line per fold.

    Args:
        history: Records of `history.jsonl`: `protocol, fold` (0-based), `epoch` (1-based), `train_loss`,
            `train_accuracy`, `validation_loss`, `validation_accuracy`; `seed` if there are several.
        entries: Scores by protocol, for chance and the chosen epochs.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(len(entries), 2, size=(10.5, 3.1 * len(entries) + 0.9))
    for (loss_axis, accuracy_axis), (name, entry) in zip(axes, entries.items(), strict=True):
        runs: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
        for record in history:
            if record["protocol"] == name:
                runs.setdefault((record.get("seed", entry["seeds"][0]), record["fold"]), []).append(record)
        chosen = {(fold["seed"], fold["fold"]): fold["best_epoch"] for fold in entry["folds"]}
        for axis, quantity in ((loss_axis, "loss"), (accuracy_axis, "accuracy")):
            for key, records in runs.items():
                _draw_run(
                    axis, sorted(records, key=lambda record: record["epoch"]), quantity, chosen.get(key), len(runs)
                )
            axis.set_xlabel("epoch")
            axis.set_ylabel(quantity)
            axis.set_title(f"{name}: {quantity} of {len(runs)} {'fold' if len(runs) == 1 else 'folds'}", fontsize=11)
            axis.grid(alpha=0.25)
        loss_axis.set_ylim(bottom=0)
        accuracy_axis.set_ylim(0, 1.02)
        accuracy_axis.axhline(entry["chance"]["accuracy"], color=GRAY, linestyle=":", linewidth=1.2)
        accuracy_axis.text(
            0.99, entry["chance"]["accuracy"] + 0.015, "chance", transform=accuracy_axis.get_yaxis_transform(),
            ha="right", color=GRAY, fontsize=9,
        )  # fmt: skip
    handles = [
        axes[0, 0].plot([], [], color=BLUE, label="training")[0],
        axes[0, 0].plot([], [], color=VERMILLION, linestyle="--", label="validation")[0],
        axes[0, 0].plot([], [], "o", color=INK, markersize=5, label="epoch that is tested")[0],
    ]
    axes[0, 0].legend(handles=handles, fontsize=9, framealpha=0.9)
    return finish_figure(figure, "Training curves (without the test side)", _provenance(entries))


def draw_gap(entries: Entries) -> bytes:
    """Draws the accuracy by protocol with intervals and baselines, and the gap between two protocols.

    Args:
        entries: Scores by protocol, as in `metrics.json`.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(1, 1, size=(8.0, 1.6 + 1.05 * len(entries)))
    axis = axes[0, 0]
    for row, (name, entry) in enumerate(entries.items()):
        color, marker = (VERMILLION, "s") if name == PAPER else (BLUE, "o")
        clips, people = entry["clip_interval"], (entry["intervals"] or {}).get("accuracy")
        if people is not None:
            axis.plot([people["low"], people["high"]], [row, row], color=color, linewidth=3, solid_capstyle="butt")
        ends, below = [clips["low"], clips["high"]], [row + 0.17, row + 0.17]
        axis.plot(ends, below, color=color, linewidth=1.2, linestyle="--", marker="|", markersize=7)
        axis.plot(entry["accuracy"], row, marker, color=color, markersize=10)
        axis.text(
            entry["accuracy"], row - 0.17, f"{100 * entry['accuracy']:.1f} %", ha="center", color=INK, weight="bold"
        )
        # Both differ between protocols, because their test items differ.
        for baseline, label, style, side in (
            ("chance", "chance ", ":", "right"),
            ("majority", " largest class", "-.", "left"),
        ):
            place = entry[baseline]["accuracy"]
            axis.plot([place, place], [row - 0.32, row + 0.32], color=GRAY, linestyle=style, linewidth=1.5)
            axis.text(place, row - 0.2, label, color=GRAY, fontsize=9, ha=side)
    gap, names = measure_gap(entries), list(entries)
    if gap is not None and abs(gap.difference) > 0.01:
        # Between two rows, even if others are between the two that are compared.
        middle = min(names.index(PAPER), names.index(gap.honest)) + 0.5
        arrow = {"arrowstyle": "<->", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", (gap.paper_accuracy, middle), (gap.honest_accuracy, middle), arrowprops=arrow)
        center = (gap.paper_accuracy + gap.honest_accuracy) / 2
        axis.text(center, middle - 0.06, f"{100 * gap.difference:+.1f} points", ha="center", color=INK, fontsize=10)
    axis.set_yticks(range(len(entries)), [_describe_row(name, entry) for name, entry in entries.items()])
    axis.set_ylim(len(entries) - 0.55, -0.5)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axis.set_xlabel("accuracy; solid: 95 % over people; dashed: 95 % as if clips were independent (Wilson)")
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    return finish_figure(figure, "One network, one corpus: accuracy by protocol", _provenance(entries))


def draw_faces(faces: Sequence[FaceExample], provenance: str) -> bytes:
    """Draws what the network sees: both halves at several frames, as stored and after normalisation.

    Args:
        faces: One clip per class.
        provenance: "licensed" or "surrogate".

    Returns:
        A PNG.
    """
    figure, axes = make_figure(2 * len(faces), FRAMES_SHOWN, size=(10.5, 3.45 * len(faces) + 0.8))
    all_fed = [part_halves(face.fed) for face in faces]
    fed_scale = choose_scale(all_fed)
    for number, (face, fed) in enumerate(zip(faces, all_fed, strict=True)):
        stored = part_halves(face.stored.astype(float))
        gray = {"cmap": "gray", "vmin": 0, "vmax": 255}
        for row, (frames, name, scale) in enumerate(((stored, "as stored", gray), (fed, "as seen", fed_scale))):
            shown = np.linspace(0, len(frames) - 1, FRAMES_SHOWN).round().astype(int)
            for axis, index in zip(axes[2 * number + row], shown, strict=True):
                axis.imshow(frames[index], **scale)
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set(color=GRAY, linewidth=0.5)
                axis.set_title(f"frame {index + 1} of {len(frames)}", fontsize=8, color=GRAY, pad=3)
            label = f"{face.class_name}\n{face.subject}, {face.clip_id}\n{name}" if row == 0 else name
            axes[2 * number + row, 0].text(
                -0.05, 0.5, label, transform=axes[2 * number + row, 0].transAxes, rotation=90,
                ha="right", va="center", fontsize=9, color=INK, linespacing=1.4,
            )  # fmt: skip
            bar = figure.colorbar(
                axes[2 * number + row, -1].images[0], ax=axes[2 * number + row], shrink=0.75, aspect=14, pad=0.01
            )
            bar.ax.tick_params(labelsize=7)
    return finish_figure(figure, "What the network sees: upper and lower half, one clip per class", provenance)


def _draw_run(axis: Axes, records: list, quantity: str, best_epoch: int | None, num_runs: int) -> None:
    epochs = [record["epoch"] for record in records]
    alpha = max(0.35, 1 - 0.08 * (num_runs - 1))
    train = [record[f"train_{quantity}"] for record in records]
    axis.plot(epochs, train, color=BLUE, linewidth=1.3, alpha=alpha)
    validation = [record[f"validation_{quantity}"] for record in records]
    if None in validation:  # no clip validates: the last epoch is tested
        validation = train
    else:
        axis.plot(epochs, validation, color=VERMILLION, linewidth=1.3, linestyle="--", alpha=alpha)
    if best_epoch is not None and best_epoch in epochs:
        axis.plot(best_epoch, validation[epochs.index(best_epoch)], "o", color=INK, markersize=4.5, zorder=3)


def _describe_row(name: str, entry: Mapping[str, Any]) -> str:
    return f"{name}\n{entry['n_clips']} clips, {entry['n_subjects']} people"


def part_halves(face: Float[np.ndarray, "t h w"]) -> Float[np.ndarray, "t g w"]:
    """The upper above the lower half with a blank line between them: they enter two paths of the network."""
    line = np.full((len(face), 4, face.shape[2]), np.nan)
    return np.concatenate([face[:, :HALF_HEIGHT], line, face[:, HALF_HEIGHT:]], axis=1)


def choose_scale(clips: Sequence[Float[np.ndarray, "t h w"]]) -> dict[str, Any]:
    """One colour scale for all clips: gray for gray values; for differences, white at 0 and the rarest extremes cut."""
    values = np.concatenate([clip[np.isfinite(clip)] for clip in clips])
    if values.min() >= 0:
        return {"cmap": "gray", "vmin": 0, "vmax": max(float(values.max()), 1e-6)}
    reach = max(float(np.percentile(np.abs(values), 99.5)), 1e-6)
    return {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}


def _provenance(entries: Entries) -> str:
    return next(iter(entries.values()))["provenance"]


def make_figure(
    rows: int,
    columns: int,
    *,
    size: tuple[float, float],
    layout: Literal["constrained", "compressed", "tight"] = "constrained",
    height_ratios: Sequence[float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """Creates a figure in the style of this package, and its axes [rows, columns]; size in inches."""
    # Not pyplot: its figures are global state, and its backend may need a screen.
    figure = Figure(figsize=size, dpi=DPI, layout=layout, facecolor="white")
    return figure, figure.subplots(rows, columns, squeeze=False, height_ratios=height_ratios)


def finish_figure(figure: Figure, title: str, provenance: str) -> bytes:
    """Adds a figure's title and, for surrogate data, the marks that say so; returns the PNG."""
    if provenance == "surrogate":
        title = f"SURROGATE · {title}"
        figure.supxlabel(SURROGATE_FOOT, fontsize=9.5, color=RUST, weight="bold")
    figure.suptitle(title, fontsize=13, color=INK, weight="bold")
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", metadata={"Software": None}
    )  # without versions, so that equal runs give equal files
    return buffer.getvalue()
