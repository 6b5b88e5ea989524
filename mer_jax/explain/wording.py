"""An explanation in plain English."""

from typing import Any

import numpy as np

from mer_jax.blocks.conv_pool import Convolution, output_size
from mer_jax.data.provenance import surrogate_mark
from mer_jax.explain.explanation import CheckedMap, Explanation

_STRONGEST = 3  # cells that are named
_UNIFORM = 0.1  # weights of time steps that all lie within this of 1 pick no moment


def describe(explanation: Explanation) -> tuple[str, ...]:
    """Returns one line for each thing that was found."""
    lines = [_describe_answer(explanation), _describe_score(explanation), _describe_halves(explanation)]
    lines += [_describe_map(each) for each in explanation.maps]
    first, *others = explanation.maps
    if others and np.ptp(first.values) > 0 and np.allclose(first.values, others[0].values, atol=1e-9):
        lines.append(f"{first.title} and {others[0].title.lower()} are the same for a linear model.")
    if explanation.temporal is not None:
        lines.append(_describe_temporal(explanation))
    if any(each.name == "spatial_attention" for each in explanation.maps) or explanation.temporal is not None:
        lines.append(
            "Attention says what the block multiplies by, not why the model answers: of trained models that we "
            "measured, the spatial map was mostly the same for all clips, and the temporal weights were nearly equal "
            "(docs/explain.md)."
        )
        lines += explanation.finer
    return tuple(lines)


def suggest_finer(model: Any, num_frames: int) -> tuple[str, ...]:
    """Names the fields of a network that make its attention finer; nothing for networks without them.

    Args:
        model: A network.
        num_frames: Frames of a clip.
    """
    conv = getattr(model, "conv", None)
    if not isinstance(conv, Convolution) or not hasattr(model, "attention_features"):
        return ()
    pool = conv.pool_size
    steps = output_size((num_frames, 64, 128), conv.kernel_size, pool, conv.pool_stride)[0]
    lines = [
        f"Finer attention: the pool joins {pool[0]} frames to a time step, {steps} steps in all, and "
        f"{pool[1]}x{pool[2]} pixels to a place."
    ]
    finer = (max(1, pool[0] // 2), max(1, pool[1] // 2), max(1, pool[2] // 2))
    if finer != pool and conv.pool_stride is None:
        more = output_size((num_frames, 64, 128), conv.kernel_size, (finer[0], *pool[1:]))[0]
        lines.append(
            f"--config.model.conv.pool_size={finer[0]},{pool[1]},{pool[2]} gives {more} steps, "
            f"--config.model.conv.pool_size={pool[0]},{finer[1]},{finer[2]} places of half the side; "
            "--config.model.attention_kernel is the window of the spatial map, --config.model.attention_features the "
            "width of what scores a step. The model has to be trained again."
        )
    return tuple(lines)


def _describe_answer(explanation: Explanation) -> str:
    answer = explanation.prediction
    mark = surrogate_mark(explanation.provenance, after=" ") + "model"
    shares = ", ".join(f"{name} {share:.2f}" for name, share in answer.probabilities.items())
    if answer.label is not None:
        return f"The {mark} {explanation.model} answers {answer.label} ({shares})."
    reasons = "; ".join(answer.abstained)
    return (
        f"The {mark} {explanation.model} gives no answer ({reasons}); its best guess is {answer.best_guess} ({shares})."
    )


def _describe_score(explanation: Explanation) -> str:
    motion = explanation.score - explanation.still_score
    return (
        f"Explained is why {explanation.class_name} rather than the others. Its score, the logit less the mean of the "
        f"others, is {explanation.score:+.2f}; for the same face without motion {explanation.still_score:+.2f}, so the "
        f"motion adds {motion:+.2f}."
    )


def _describe_halves(explanation: Explanation) -> str:
    shares = explanation.shares
    line = (
        f"Without the motion of the upper half the score changes by {-shares.upper:+.2f}, without that of the lower "
        f"half by {-shares.lower:+.2f}"
    )
    if shares.upper_share is None:
        against = [name for name, fall in (("upper", shares.upper), ("lower", shares.lower)) if fall < 0]
        if not against:
            return f"{line}: neither half alone matters."
        who = f"the {against[0]} half speaks" if len(against) == 1 else "both halves speak"
        return f"{line}: {who} against {explanation.class_name}."
    return f"{line}: {100 * shares.upper_share:.0f} % upper, {100 - 100 * shares.upper_share:.0f} % lower."


def _describe_map(checked: CheckedMap) -> str:
    check = checked.check
    if not check.is_passed:
        return f"{checked.title}: not drawn, because {'; and '.join(check.reasons)}."
    rows, columns = checked.values.shape
    order = checked.values.reshape(-1).argsort()[::-1][:_STRONGEST].tolist()
    places = ", ".join(
        f"row {place // columns + 1} column {place % columns + 1}" for place in order if checked.values.flat[place] > 0
    )
    found = f"highest of {rows}x{columns} cells, counted from the upper left corner of the picture: {places}"
    return (
        f"{checked.title}: {found}. Checks passed: rank correlation {check.correlation:.2f} with random weights; "
        f"without its highest cells the score falls by {check.deletion:.2f}, without random ones by "
        f"{check.random_deletion:.2f} (p = {check.p:.3f})."
    )


def _describe_temporal(explanation: Explanation) -> str:
    temporal = explanation.temporal
    assert temporal is not None
    each = "; ".join(
        f"{path} {' '.join(f'{weight:.3f}' for weight in weights)}" for path, weights in temporal.weights.items()
    )
    spread = f"from {temporal.lowest:.3f} to {temporal.highest:.3f}"
    is_uniform = max(1 - temporal.lowest, temporal.highest - 1) <= _UNIFORM
    verdict = "nearly equal, so it picks no moment of the clip" if is_uniform else "1 is no preference"
    return f"Temporal attention over {temporal.steps} steps: {each}; {spread}: {verdict}."
