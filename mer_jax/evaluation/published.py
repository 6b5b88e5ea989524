"""Published numbers as data, with where they are printed, how they were made and how far to trust them.

`published.csv` has one row for every number that is printed somewhere: tables 2 to 7 of the paper, and the composite
of MEGC 2019 with its three corpora. A published number stands beside one of ours only where the reader is told, in the
same place, on which clips and by which protocol each was made.
"""

import csv
import functools
import importlib.resources
from collections.abc import Iterable
from dataclasses import dataclass

PAPER_PROTOCOL = "random 80/10/10 division; people are not kept apart, and the counts fit augmented copies only"
PROTOCOLS = {
    "paper": PAPER_PROTOCOL,
    "composite": "leave one subject out over the composite of MEGC 2019, 442 clips of 68 people; three classes",
    "unstated": "not stated where it is quoted; class maps and divisions of these methods differ",
}
# From the most to the least that a number can be relied on.
TRUST = {
    "rerun": "made again, from published weights or by a short program",
    "recomputed": "worked out again from published predictions",
    "last_epoch": "code or stored output looked at: fixed number of epochs, none chosen on the test",
    "unknown": "how the epoch was chosen was not found out",
    "quoted": "quoted by another paper; not looked into",
    "no_code": "no code to look at",
    "leaky": "the division leaks by its description: see the protocol",
    "test_best": "code looked at: for each fold, the epoch that is best on the TEST is reported",
    "wrong_uar": "the UAR is not a UAR: see the note",
}
SOURCES = {
    "irawan2024": "Irawan et al., JJCIT, accepted 2024, doi:10.5455/jjcit.71-1725518992",
    "ststnet2019": "Liong et al., STSTNet, FG 2019, table III",
    "ststnet_port": "README and log of STSTNet's PyTorch port, github.com/christy1206/STSTNet",
    "htnet2024": "Wang et al., HTNet, 2024: table 2, and its repository's table and stored predictions",
    "fan2024": "table in the repository dannyFan-0201, 2024",
    "causalnet2025": "CausalNet, ICCV 2025, its README",
    "soda2025": "SODA4MER, CVPR 2025",
    "raicl2026": "Ra-ICL, CVPR 2026",
    "meb2024": "Varanka et al., IEEE TAFFC 15 (2024), arXiv 2211.11425: stored notebooks of the library meb",
    "own": "short programs on STSTNet's published motion features",
}
# Also what the paper gets wrong about itself; reports print these as footnotes.
NOTES = {
    "baseline_unknown": "The layers of this net, reference [18] of the paper, were found published nowhere.",
    "baseline_wins": "Table 2 beside table 3: on SAMM and CASME II the F1 of the single-path baseline (.9218, .9361) "
    "is higher than that of the proposed net (.9113, .9203).",
    "dp_below": "The text says that two paths improve accuracy on all corpora; on CASME II its tables have 93.35 % for "
    "two paths and 93.66 % for one.",
    "smic_error": "Table 3 has an accuracy of 93.42 % and an error rate of 5.58 %, which do not sum to 100; right "
    "is 6.58. The conclusion repeats 5.58 as the lowest error rate.",
    "smic_highest": "The text says that accuracy is highest on SMIC; by its own tables it is the lowest of the four.",
    "smic_seconds": "The text has SMIC clips last 9 to 343 seconds; that would not be micro-expressions. Frames or "
    "milliseconds may be meant.",
    "smm": "Table 3 prints SAMM as SMM.",
    "n612": "The discussion lists 7 + 3 + 9 + 5 + 6 + 7 = 37 errors on CAS(ME)^2. With an error rate of 6.05 % the "
    "test held 612 items, so some 6,120 in all, of about 350 clips: augmented copies were counted, and tested.",
    "not_612": "No share of 612 items rounds to this accuracy, so that not all nets were scored on one test set, "
    "or scores were averaged.",
    "ststnet_uar": "The published UAR (.7605; .7013, .8686, .6810) is the macro precision of its own predictions. Its "
    "UAR is .7186 (.6703, .8190, .6415). Later papers copy .7605.",
    "htnet_test_best": "HTNet keeps, for each person, the epoch with the best test accuracy. A small MLP gives a UF1 "
    "of .6952 at the last epoch and .8024 with that selection. The predictions in its repository give .8313 / .8175.",
    "emr_leak": "Without the choice of the epoch on the test, its code reaches 0.59.",
    "ubert": "Users report that it cannot be reproduced.",
    "fan_au": "The action units of the test clip, as annotated, choose the region that is looked at.",
    "causalnet": "Training stops when test accuracy is 1, and the best test epoch is reported.",
    "meb_notebooks": "Single seeds; the same net with and without stopping on the test.",
}
PAPER_CHOICE = "The best of two batch sizes and two lengths of training is shown; how it was chosen is not said."


@dataclass(frozen=True)
class PublishedScore:
    """One row of a published table; a score that is not printed there is None."""

    table: str  # number of the paper's table, or "MEGC2019"
    corpus: str  # the name of our corpus folder
    year: int
    method: str  # as printed
    model: str  # the class name of our model; "" where there is none
    accuracy: float | None  # 0 to 1, as all scores
    f1: float | None
    uf1: float | None
    uar: float | None
    error_rate: float | None
    source: str  # key of SOURCES
    protocol: str  # key of PROTOCOLS
    trust: str  # key of TRUST
    notes: tuple[str, ...]  # keys of NOTES

    @property
    def footnotes(self) -> tuple[str, ...]:
        """The notes' texts."""
        return tuple(NOTES[note] for note in self.notes)


@functools.cache
def load_published() -> tuple[PublishedScore, ...]:
    """All rows, in the order of the tables.

    Example:
        >>> len([row for row in load_published() if row.table == "3"])
        4
    """
    text = (importlib.resources.files("mer_jax.evaluation") / "published.csv").read_text(encoding="utf-8")
    scores = ("accuracy", "f1", "uf1", "uar", "error_rate")
    return tuple(
        PublishedScore(
            **row
            | {name: float(row[name]) if row[name] else None for name in scores}
            | {"year": int(row["year"]), "notes": tuple(row["notes"].split())}
        )
        for row in csv.DictReader(text.splitlines())
    )


def select_published(
    corpus: str, *, table: str | None = None, protocol: str | None = None
) -> tuple[PublishedScore, ...]:
    """The rows of a corpus, of one table or of one protocol if these are given."""
    return tuple(
        row
        for row in load_published()
        if row.corpus == corpus and table in (None, row.table) and protocol in (None, row.protocol)
    )


def find_published(corpus: str, model: str) -> PublishedScore | None:
    """What the paper prints of a model of ours on a corpus, if it does.

    Example:
        >>> find_published("smic", "HybridAttention3DNet").accuracy
        0.9342
    """
    return next((row for row in load_published() if model and (row.corpus, row.model) == (corpus, model)), None)


def collect_footnotes(rows: Iterable[PublishedScore]) -> dict[str, str]:
    """The notes that rows point to, each once, in order."""
    return {note: NOTES[note] for row in rows for note in row.notes}
