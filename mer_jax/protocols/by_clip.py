"""Protocols that divide items or clips: they test on people who are also in training."""

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.errors import ConfigError, CorpusError
from mer_jax.protocols.plan import Fold, Plan, Split

# The paper's share of test items.
PAPER_TEST_FRACTION = 0.1

PAPER_DESCRIPTION = (
    "As published: each clip is augmented first, then clips and copies together are divided at random, 80 % for "
    "training, 10 % for validation, 10 % for testing. Copies of one clip and clips of one person therefore fall on "
    "both sides: the network is tested on altered copies of clips it was trained on. The number says how well it "
    "recognises these clips again, not how well it would read a stranger's face."
)
CLIP_DESCRIPTION = (
    "By clip: the clips are divided into groups with equal shares of each class. Each group is tested once by a "
    "network that was trained on none of its clips, but usually on other clips of the same people. About a tenth of "
    "the clips validates. Only training clips are augmented. Compared with the paper's protocol it shows the effect "
    "of the copies, compared with subject-disjoint protocols the effect of knowing the faces."
)


def split_paper(split: Split) -> Plan:
    """Augments first, then divides the items at random 80/10/10: one fold.

    Source: section 4 ("80% for training, 10% for testing and 10% for validation"). The paper does not
        say that augmented copies are divided, but its error counts in section 6 fit nothing else.
    """
    if split.num_copies < 1:
        raise ConfigError(
            f"num_copies is {split.num_copies}; protocol 'paper' divides augmented copies, so expected 1 or more."
        )
    num_clips, per_clip = len(split.labels), 1 + split.num_copies
    num_items = num_clips * per_clip
    num_test = max(1, round(PAPER_TEST_FRACTION * num_items))
    num_validation = max(1, round(split.validation_share * num_items)) if split.validation_share else 0
    order = np.random.default_rng(split.seed).permutation(num_items)
    side = np.zeros(num_items, int)
    side[order[:num_test]] = 2
    side[order[num_test : num_test + num_validation]] = 1
    return Plan(
        protocol="paper",
        description=PAPER_DESCRIPTION,
        clip=np.repeat(np.arange(num_clips), per_clip),
        copy=np.tile(np.arange(per_clip), num_clips),
        folds=(Fold("random", train=side == 0, validation=side == 1, test=side == 2),),
        online_augmentation=False,
        disjoint_by="item",
    )


def split_by_clip(split: Split) -> Plan:
    """Divides clips into `num_folds` groups with equal shares of each class, each tested once; ignores people.

    Differs: the paper divides once. Here each clip is tested once, as in `subject`, so that the two protocols differ
        only in whether people are kept apart. `num_folds=10` gives the paper's shares, 80/10/10.
    """
    num_clips = len(split.labels)
    if split.num_folds < 2:
        raise ConfigError(f"num_folds is {split.num_folds}; expected 2 or more.")
    if num_clips < max(split.num_sides, split.num_folds):
        raise CorpusError(
            f"{num_clips} clips for {split.num_folds} folds; protocol 'clip' needs at least as many clips as folds, "
            f"and {split.num_sides} in all ({split.sides}). Lower num_folds, or use more clips."
        )
    rng = np.random.default_rng(split.seed)
    # Round-robin over the clips sorted by class: each group gets its share of each class.
    shuffled = rng.permutation(num_clips)
    group = np.empty(num_clips, int)
    group[shuffled[np.argsort(split.labels[shuffled], kind="stable")]] = np.arange(num_clips) % split.num_folds
    folds = []
    for number in range(split.num_folds):
        test = group == number
        validation = _draw_validation(split, np.flatnonzero(~test), rng)
        folds.append(Fold(f"group{number + 1}", train=~(test | validation), validation=validation, test=test))
    return Plan(
        protocol="clip",
        description=CLIP_DESCRIPTION,
        clip=np.arange(num_clips),
        copy=np.zeros(num_clips, int),
        folds=tuple(folds),
        online_augmentation=True,
        disjoint_by="clip",
    )


def _draw_validation(split: Split, free: Int[np.ndarray, "r"], rng: np.random.Generator) -> Bool[np.ndarray, "n"]:
    """Draws about `validation_share` of all clips, equally from each class, and leaves one of each to training."""
    validation = np.zeros(len(split.labels), bool)
    if not split.validation_share:
        return validation
    order = rng.permutation(free)
    _, kept = np.unique(split.labels[order], return_index=True)
    order = np.delete(order, kept)
    if not len(order):
        raise CorpusError(
            f"{len(free)} clips are left for training and validation, one of each class; expected more. Use more "
            "clips, or validation_share=0."
        )
    order = order[np.argsort(split.labels[order], kind="stable")]
    number = min(len(order), max(1, round(split.validation_share * len(split.labels))))
    validation[order[((np.arange(number) + 0.5) * len(order) / number).astype(int)]] = True
    return validation
