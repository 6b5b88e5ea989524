"""Deals annotated labels out to subjects and clips, so that the totals come out as published."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from datasets.surrogate.plan import apportion

Label = TypeVar("Label", bound=Hashable)


def deal_labels(
    rng: np.random.Generator,
    num_clips: int,
    subject_weights: Mapping[str, int],
    label_weights: Mapping[str, int],
    *,
    fixed: Mapping[str, Mapping[str, int]] | None = None,
    everybody: Collection[str] = (),
) -> dict[str, list[str]]:
    """Deals labels out at random, within what is known of single subjects.

    Args:
        rng: of this corpus.
        num_clips: to be dealt; subjects and labels share them in proportion to their weights.
        subject_weights: clips of each subject as published.
        label_weights: clips of each label as published.
        fixed: labels that certain subjects have for sure, as far as they and the labels are there.
        everybody: who has none of these labels by then, and room, is given one first.

    Returns:
        the labels of each subject's clips, in random order.
    """
    sizes, counts = (
        dict(zip(weights, apportion(num_clips, list(weights.values())), strict=True))
        for weights in (subject_weights, label_weights)
    )
    left = Counter(counts)
    dealt: dict[str, list[str]] = {name: [] for name in sizes}

    def give(name: str, label: str) -> None:
        dealt[name].append(label)
        left[label] -= 1

    for name, labels in ((each, labels) for each, labels in (fixed or {}).items() if each in sizes):
        for label, number in labels.items():
            for _ in range(min(number, left[label], sizes[name] - len(dealt[name]))):
                give(name, label)
    for name, size in sizes.items():
        choice = [label for label in everybody for _ in range(left[label])]
        if choice and len(dealt[name]) < size and not set(dealt[name]) & set(everybody):
            give(name, str(rng.choice(choice)))
    rest = iter(rng.permutation([label for label in counts for _ in range(left[label])]).tolist())
    for name, size in sizes.items():
        dealt[name] += [next(rest) for _ in range(size - len(dealt[name]))]
        dealt[name] = rng.permutation(dealt[name]).tolist()
    return dealt


def match_labels(
    rng: np.random.Generator, wishes: Sequence[Sequence[Label]], weights: Mapping[Label, int]
) -> list[Label]:
    """Gives each clip a label that it wishes for, as long as there are some; the others get what is left.

    Args:
        rng: of this corpus.
        wishes: for each clip, the best label first.
        weights: clips of each label as published; shared out in proportion where there are fewer clips.
    """
    shares = apportion(len(wishes), list(weights.values())) if wishes else []
    left = Counter(dict(zip(weights, shares, strict=False)))
    matched: list[Label | None] = [None] * len(wishes)
    for rank in range(max(map(len, wishes), default=0)):
        for clip in rng.permutation(len(wishes)):
            wish = wishes[clip][rank] if rank < len(wishes[clip]) else None
            if matched[clip] is None and left[wish] > 0:
                matched[clip] = wish
                left[wish] -= 1
    rest = [label for label in weights for _ in range(left[label])]
    order = iter(rng.permutation(len(rest)))
    return [rest[next(order)] if label is None else label for label in matched]
