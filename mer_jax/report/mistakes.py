"""Pictures of the error analysis: confused clips with the network's attention, and accuracy by property of the clips.

Source: the discussion in section 6 of the paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes

from mer_jax.evaluation.gap import PAPER
from mer_jax.evaluation.mistakes import ConfusedPair, group_clips
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.report.figures import BLUE, GRAY, INK, RUST, VERMILLION, finish_figure, make_figure


@dataclass(frozen=True, eq=False)
class ShownClip:
    """One clip at the frame that differs most from the first, with the network's attention."""

    clip_id: str
    true: str
    given: str
    certainty: float  # probability of the given class
    face: UInt8[np.ndarray, "g w"]
    frame: int  # 0-based
    spatial: Float[np.ndarray, "g2 w2"] | None  # attention at that frame, upper half above lower; None without one
    temporal: Float[np.ndarray, "t2"] | None  # weight of each time step, mean 1; None without attention


def draw_errors(pairs: Sequence[tuple[ConfusedPair, Sequence[ShownClip]]], provenance: str) -> bytes:
    """Draws a row for each confused pair: a clip that was recognised, one that was confused, one of the other class.

    Args:
        pairs: Each with its clips, at most three.
        provenance: "licensed" or "surrogate".

    Returns:
        A PNG.
    """
    figure, axes = make_figure(2 * len(pairs), 3, size=(9.6, 4.3 * len(pairs) + 0.9), height_ratios=[3, 1] * len(pairs))
    for number, (pair, clips) in enumerate(pairs):
        for column in range(3):
            above, below = axes[2 * number, column], axes[2 * number + 1, column]
            if column >= len(clips):
                above.set_axis_off()
                below.set_axis_off()
                continue
            clip = clips[column]
            height, width = clip.face.shape
            above.imshow(clip.face, cmap="gray", vmin=0, vmax=255)
            if clip.spatial is not None:
                above.imshow(clip.spatial, cmap="plasma", alpha=0.4, extent=(0, width, height, 0))
            above.set_xticks([])
            above.set_yticks([])
            wrong = clip.true != clip.given
            above.spines[:].set(color=VERMILLION if wrong else BLUE, linewidth=2.5)
            answer = f"predicted {clip.given}" if wrong else "recognised"
            above.set_title(
                f"{clip.true}, {answer} ({100 * clip.certainty:.0f} %)\n{clip.clip_id}, frame {clip.frame + 1}",
                fontsize=9, color=RUST if wrong else INK,
            )  # fmt: skip
            _draw_weights(below, clip.temporal)
        axes[2 * number, 0].set_ylabel(f"{pair.true} → {pair.given}\n{pair.count} times", fontsize=10, color=INK)
    return finish_figure(figure, "The most confused pairs, and the network's attention", provenance)


def draw_difficulty(
    results: Sequence[ProtocolResult], facts: Mapping[str, Mapping[str, float]], provenance: str
) -> bytes | None:
    """Draws accuracy against properties of the clips, in groups of equally many clips.

    Args:
        results: One line for each.
        facts: The value of each clip, by property; its name and unit label the axis.
        provenance: "licensed" or "surrogate".

    Returns:
        A PNG; None if no property has enough clips (see `group_clips`).
    """
    panels = {}
    for name, values in facts.items():
        lines = {result.protocol: groups for result in results if (groups := group_clips(result, values))}
        if lines:
            panels[name] = lines
    if not panels:
        return None
    figure, axes = make_figure(1, len(panels), size=(max(8.6, 5.2 * len(panels)), 4.2))
    for axis, (name, lines) in zip(axes[0], panels.items(), strict=True):
        for number, (protocol, groups) in enumerate(lines.items()):
            accuracy = np.array([group.accuracy for group in groups])
            reach = [
                np.maximum(0, accuracy - [group.interval.low for group in groups]),
                np.maximum(0, [group.interval.high for group in groups] - accuracy),
            ]
            color = VERMILLION if protocol == PAPER else (BLUE, INK, GRAY)[number % 3]
            axis.errorbar(
                [group.median for group in groups], accuracy, yerr=reach, color=color, marker="os^D"[number % 4],
                linestyle=("-", "--", "-.", ":")[number % 4], capsize=3, label=protocol,
            )  # fmt: skip
        axis.set_ylim(0, 1.02)
        axis.set_xlabel(name)
        axis.set_ylabel("accuracy; 95 % over people")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=9)
    return finish_figure(figure, "Accuracy by property of the clips", provenance)


def _draw_weights(axis: Axes, temporal: np.ndarray | None) -> None:
    if temporal is None:
        axis.set_axis_off()
        return
    axis.bar(range(1, len(temporal) + 1), temporal.tolist(), color=GRAY)
    axis.axhline(1.0, color=INK, linestyle=":", linewidth=1)
    axis.set_xlabel("time step", fontsize=8)
    axis.set_ylabel("weight", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_xticks(range(1, len(temporal) + 1))
