"""What goes wrong: which classes are taken for which, in which clips, and whether small movements are to blame.

Source: the discussion in section 6 of the paper, which lists confusions and looks at right and wrong clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from mer_jax.evaluation.gap import PAPER
from mer_jax.evaluation.intervals import wilson_interval
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.report.figures import BLUE, GRAY, INK, RUST, VERMILLION, finish_figure, make_figure

GROUPS = 5  # of clips with similar amplitude or duration
MIN_CLIPS = 2 * GROUPS  # fewer are not divided


@dataclass(frozen=True)
class ConfusedPair:
    """One class that was taken for another."""

    true: str
    given: str
    count: int
    share: float  # of the items of the true class
    clips: tuple[str, ...]  # with the most certain error first, each once


@dataclass(frozen=True, eq=False)
class ShownClip:
    """One clip at the frame that differs most from the first, and where and when the net looks."""

    clip_id: str
    true: str
    given: str
    certainty: float  # probability of the given class
    face: UInt8[np.ndarray, "g w"]
    frame: int  # 0-based
    spatial: (
        Float[np.ndarray, "g2 w2"] | None
    )  # attention at that frame, upper half above lower; None without attention
    temporal: Float[np.ndarray, "t2"] | None  # weight of each step of time, mean 1; None without attention


def find_confused_pairs(result: ProtocolResult) -> list[ConfusedPair]:
    """The pairs of classes that were confused, the most frequent first.

    Args:
        result: With probabilities and clip ids.
    """
    pairs = []
    for true in range(len(result.class_names)):
        of_class = result.true == true
        for given in range(len(result.class_names)):
            rows = np.flatnonzero(of_class & (result.predicted == given))
            if true == given or not len(rows):
                continue
            order = rows[np.argsort(-result.probabilities[rows, given], kind="stable")]
            pairs.append(
                ConfusedPair(
                    true=result.class_names[true],
                    given=result.class_names[given],
                    count=len(rows),
                    share=len(rows) / int(of_class.sum()),
                    clips=tuple(dict.fromkeys(result.clip_id[row] for row in order)),
                )
            )
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share, pair.true, pair.given))


def draw_errors(pairs: Sequence[tuple[ConfusedPair, Sequence[ShownClip]]], provenance: str) -> bytes:
    """A row for each confused pair: a clip that was recognised, one that was confused, and one of the other class.

    Args:
        pairs: Each with its clips, three at most.
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
            answer = f"taken for {clip.given}" if wrong else "recognised"
            above.set_title(
                f"{clip.true}, {answer} ({100 * clip.certainty:.0f} %)\n{clip.clip_id}, frame {clip.frame + 1}",
                fontsize=9, color=RUST if wrong else INK,
            )  # fmt: skip
            _draw_weights(below, clip.temporal)
        axes[2 * number, 0].set_ylabel(f"{pair.true} → {pair.given}\n{pair.count} times", fontsize=10, color=INK)
    return finish_figure(figure, "The most confused pairs, and where the net looks", provenance)


def draw_difficulty(
    results: Sequence[ProtocolResult], facts: Mapping[str, Mapping[str, float]], provenance: str
) -> bytes | None:
    """Accuracy against properties of the clips, in groups of equally many clips.

    Args:
        results: A line for each.
        facts: By property (with its unit, as it is to be written), the value of each clip.
        provenance: "licensed" or "surrogate".

    Returns:
        A PNG; None where there are too few clips, or none of which anything is known.
    """
    panels = {}
    for name, values in facts.items():
        known = [result for result in results if len({clip for clip in result.clip_id if clip in values}) >= MIN_CLIPS]
        if known and len(set(values.values())) > 1:
            panels[name] = known
    if not panels:
        return None
    figure, axes = make_figure(1, len(panels), size=(max(8.6, 5.2 * len(panels)), 4.2))
    for axis, (name, known) in zip(axes[0], panels.items(), strict=True):
        for number, result in enumerate(known):
            centers, shares, errors = _group(result, facts[name])
            color = VERMILLION if result.protocol == PAPER else (BLUE, INK, GRAY)[number % 3]
            axis.errorbar(
                centers, shares, yerr=errors, color=color, marker="os^D"[number % 4],
                linestyle=("-", "--", "-.", ":")[number % 4], capsize=3, label=result.protocol,
            )  # fmt: skip
        axis.set_ylim(0, 1.02)
        axis.set_xlabel(name)
        axis.set_ylabel("accuracy; 95 % over clips (Wilson)")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=9)
    return finish_figure(figure, "Which clips are hard", provenance)


def _group(result: ProtocolResult, values: Mapping[str, float]) -> tuple[list[float], list[float], np.ndarray]:
    rows = [row for row, clip in enumerate(result.clip_id) if clip in values]
    value = np.array([values[result.clip_id[row]] for row in rows])
    right = result.correct[rows]
    edges = np.unique(np.quantile(value, np.linspace(0, 1, GROUPS + 1)))
    group = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, max(0, len(edges) - 2))
    centers, shares, bounds = [], [], []
    for number in np.unique(group):
        mine = group == number
        share = float(right[mine].mean())
        clips = len({result.clip_id[row] for row, chosen in zip(rows, mine, strict=True) if chosen})
        interval = wilson_interval(share, clips)
        centers.append(float(np.median(value[mine])))
        shares.append(share)
        bounds.append((max(0.0, share - interval.low), max(0.0, interval.high - share)))
    return centers, shares, np.array(bounds).T


def _draw_weights(axis, temporal: np.ndarray | None) -> None:
    if temporal is None:
        axis.set_axis_off()
        return
    axis.bar(range(1, len(temporal) + 1), temporal, color=GRAY)
    axis.axhline(1.0, color=INK, linestyle=":", linewidth=1)
    axis.set_xlabel("step of time", fontsize=8)
    axis.set_ylabel("weight", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_xticks(range(1, len(temporal) + 1))
