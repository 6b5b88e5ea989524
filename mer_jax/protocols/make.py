"""Creates the plan of a protocol by name, and checks it."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from mer_jax.errors import ConfigError, CorpusError, near_names
from mer_jax.protocols.by_clip import split_by_clip, split_paper
from mer_jax.protocols.by_subject import split_by_subject, split_composite, split_cross_corpus, split_loso
from mer_jax.protocols.plan import Plan, Split, audit

PROTOCOLS: dict[str, Callable[[Split], Plan]] = {
    "paper": split_paper,
    "clip": split_by_clip,
    "subject": split_by_subject,
    "loso": split_loso,
    "composite": split_composite,
    "cross_corpus": split_cross_corpus,
}
# Protocols that keep people apart, the customary ones first; the first that a run has is its reference.
SUBJECT_DISJOINT = ("loso", "composite", "subject", "cross_corpus")
# Names used elsewhere.
OTHER_NAMES = {
    "kfold": "'subject' divides people into num_folds groups",
    "cde": "'composite' is the composite evaluation of MEGC 2019",
    "hde": "'cross_corpus' tests on a corpus that it does not train on",
}


def make_plan(
    name: str,
    *,
    subjects: Sequence[str],
    labels: Int[np.ndarray, "n"],
    seed: int,
    corpora: Sequence[str] | None = None,
    num_folds: int = 5,
    num_copies: int = 2,
    validation_share: float = 0.1,
) -> Plan:
    """Draws the folds of a protocol.

    Args:
        name: A key of `PROTOCOLS`.
        subjects: Subject of each clip.
        labels: Class index of each clip, 0-based.
        seed: Seed of the random division.
        corpora: Corpus of each clip; None for a single corpus. A subject name that occurs in two corpora is refused,
            because it may be two people.
        num_folds: Number of groups of subjects or clips (`subject`, `clip`), from 2.
        num_copies: Number of augmented copies of each clip (`paper`), from 1.
        validation_share: Share of all clips that validate, from 0 to below 0.5; 0 leaves all other clips to training.

    Returns:
        The plan.

    Raises:
        ConfigError: An unknown protocol or an option out of range.
        CorpusError: Too few subjects or clips, or a class missing from a training side.

    Example:
        >>> plan = make_plan("loso", subjects=["s1", "s1", "s2", "s2", "s3", "s3"], labels=np.array([0, 1] * 3), seed=0)
        >>> [fold.name for fold in plan.folds]
        ['s1', 's2', 's3']
        >>> plan.folds[0].test
        array([ True,  True, False, False, False, False])
    """
    check_protocols([name])
    corpora = ("",) * len(labels) if corpora is None else tuple(corpora)
    if not len(subjects) == len(corpora) == len(labels):
        raise CorpusError(
            f"{len(subjects)} subjects and {len(corpora)} corpora for {len(labels)} labels: "
            "expected one of each for every clip."
        )
    _check_subject_names(subjects, corpora)
    if not 0.0 <= validation_share < 0.5:
        raise ConfigError(f"validation_share is {validation_share}; expected from 0 to below 0.5.")
    plan = PROTOCOLS[name](Split(tuple(subjects), corpora, labels, seed, num_folds, num_copies, validation_share))
    _check_training_classes(plan, labels, subjects)
    _check_promise(plan, subjects)
    return plan


def check_protocols(names: Sequence[str]) -> None:
    """Checks the names of protocols, before a corpus is read.

    Raises:
        ConfigError: An unknown name; similar ones are suggested.
    """
    for name in names:
        if name not in PROTOCOLS:
            hint = OTHER_NAMES.get(name) or near_names(name, PROTOCOLS)
            raise ConfigError(f"unknown protocol {name!r}; {hint}")


def _check_subject_names(subjects: Sequence[str], corpora: Sequence[str]) -> None:
    corpus_of: dict[str, str] = {}
    for subject, corpus in zip(subjects, corpora, strict=True):
        if corpus_of.setdefault(subject, corpus) != corpus:
            raise CorpusError(
                f"subject {subject!r} is in {corpus_of[subject]} and in {corpus}; expected each name to be one person. "
                "Put the corpus in front of the name, as in `casme2_sub01`."
            )


def _check_training_classes(plan: Plan, labels: Int[np.ndarray, "n"], subjects: Sequence[str]) -> None:
    for fold in plan.folds:
        missing = np.setdiff1d(labels, labels[plan.clip[fold.train]])
        if missing.size:
            holders = sorted({subjects[int(clip)] for clip in np.flatnonzero(labels == missing[0])})
            raise CorpusError(
                f"fold {fold.name!r} of protocol {plan.protocol!r} trains without class {missing[0]}, which only "
                f"{', '.join(holders)} has; expected every class in training. Use more clips of it, or another seed."
            )


def _check_promise(plan: Plan, subjects: Sequence[str]) -> None:
    """Checks that no leak contradicts `disjoint_by`; if one does, the protocol's code has a bug."""
    report = audit(plan, subjects)
    units = {"subject": ("clip", "subject"), "clip": ("clip",), "item": ()}[plan.disjoint_by]
    leaks = {key: share for key, share in report.items() if any(f"_{unit}_in_" in key for unit in units) and share}
    if leaks:
        raise AssertionError(f"protocol {plan.protocol!r} promises disjoint {plan.disjoint_by}s, but: {leaks}")
