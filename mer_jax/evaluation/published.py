"""Published numbers as data, with their source, protocol and reliability, and the systems that they are of.

`published.csv` has one row for each printed number: tables 2 to 7 of the paper, the row that its table 5 leaves out,
and the composite of MEGC 2019 with its three corpora. `systems.csv` says of each system whether it can be built from
what is published. A published number may be shown beside one of ours only together with the clips and the protocol of
both.
"""

import csv
import functools
import importlib.resources
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PAPER_PROTOCOL = "random 80/10/10 division; people are on both sides, and the counts fit augmented copies only"
PROTOCOLS = {
    "paper": PAPER_PROTOCOL,
    "composite": "leave one subject out over the composite of MEGC 2019, 442 clips of 68 people; three classes",
    "unstated": "not stated where it is quoted; class maps and divisions of these methods differ",
}
# From the most to the least reliable.
TRUST = {
    "rerun": "reproduced, from published weights or by a short program",
    "recomputed": "recomputed from published predictions",
    "last_epoch": "code or stored output checked: fixed number of epochs, none chosen on the test",
    "unknown": "not known how the epoch was chosen",
    "quoted": "quoted by another paper; not checked",
    "no_code": "no code published",
    "leaky": "the division leaks, by its own description: see the protocol",
    "test_best": "code checked: for each fold, the epoch that is best on the TEST is reported",
    "wrong_uar": "the printed UAR is another score: see the note",
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
    "sedensenet2022": "SE-DenseNet-T, Applied Soft Computing 2022, doi:10.1016/j.asoc.2022.108594: abstract",
    "own": "short programs on STSTNet's published motion features",
}
# Including inconsistencies within the paper; reports print these as footnotes.
NOTES = {
    "baseline_unknown": "The layers of this network, reference [18] of the paper, are not published.",
    "baseline_wins": "Table 2 beside table 3: on SAMM and CASME II the F1 of the single-path baseline (.9218, .9361) "
    "is higher than that of the proposed network (.9113, .9203).",
    "dp_below": "The text says that two paths improve accuracy on all corpora; on CASME II its tables have 93.35 % for "
    "two paths and 93.66 % for one.",
    "smic_error": "Table 3 has an accuracy of 93.42 % and an error rate of 5.58 %, which do not sum to 100; right "
    "is 6.58. The conclusion repeats 5.58 as the lowest error rate.",
    "smic_highest": "The text says that accuracy is highest on SMIC; by its own tables it is the lowest of the four.",
    "smic_seconds": "The text says that SMIC clips last 9 to 343 seconds, which would not be micro-expressions; "
    "frames or milliseconds may be meant.",
    "smm": "Table 3 prints SAMM as SMM.",
    "n612": "The discussion lists 7 + 3 + 9 + 5 + 6 + 7 = 37 errors on CAS(ME)^2. With an error rate of 6.05 % the "
    "test held 612 items, so about 6,120 in all, of about 350 clips: augmented copies were counted and tested.",
    "not_612": "No share of 612 items rounds to this accuracy, so not all networks were scored on one test set, or "
    "scores were averaged.",
    "ststnet_uar": "The published UAR (.7605; .7013, .8686, .6810) is the macro precision of its own predictions. Its "
    "UAR is .7186 (.6703, .8190, .6415). Later papers copy .7605.",
    "htnet_test_best": "HTNet keeps, for each person, the epoch with the best test accuracy. A small MLP gives a UF1 "
    "of .6952 at the last epoch and .8024 with that selection. The predictions in its repository give .8313 / .8175.",
    "emr_leak": "Without the choice of the epoch on the test, its code reaches 0.59.",
    "ubert": "Users report that it cannot be reproduced.",
    "fan_au": "The annotated action units of the test clip choose the region that is analysed.",
    "causalnet": "Training stops when test accuracy is 1, and the best test epoch is reported.",
    "incomparable": "One random division of the paper stands beside numbers of other divisions, some of them leaving "
    "one subject out: they are not comparable, whichever is higher.",
    "five_classes": "Five classes, beside rows of three.",
    "bdcn": "Over the composite of three corpora; the epoch is chosen by a fifth of the training clips, not by the "
    "test. Its F1 may be the harmonic mean of macro precision and recall.",
    "bdcn_higher": "Higher than the F1 of the proposed network in the same table (.9203).",
    "frl_f1": "Doubtful: by a later table its UF1 on SAMM is .7720, so the printed figures may be its UAR.",
    "admme_samm": "Its own abstract has an accuracy of 81.28 % and an F1 of .8168 on SAMM.",
    "same_number": "The same number for an SVM on LPQ-TOP and for a network of two branches: at least one is a slip.",
    "no_network": "Not a network: motion magnification, LPQ-TOP and a support vector machine.",
    "dbnn_corpora": "By the paper's own text this system was tested on CASME and SMIC, not on this corpus.",
    "learnet": "Printed as of 2021; it is of IEEE TIP 29 (2019/2020), whose numbers on SMIC and CASME II are left out. "
    "76.33 % is 229 of 300 clips, so macro-expressions are among them.",
    "small_test": "The accuracies are those of 23 of 29, 20 of 26 and 17 of 23 clips: very small test sets would give "
    "them.",
    "ds_share": "Not a share of the 164 clips of SMIC or the 133 of SAMM: a mean, or other clips.",
    "med_share": "No share of fewer than 278 clips; SMIC (HS) has 164.",
    "omitted_better": "Left out of table 5, though tables 4 and 7 quote this system: its accuracy on SMIC is above "
    "every row, so the proposed network is not the best by the paper's own sources.",
    "capsule_test_best": "Its code keeps, for each person, the epoch with the best UF1 on the test.",
    "meb_notebooks": "Single seeds; the same network with and without stopping on the test.",
}
PAPER_CHOICE = "It is the best of two batch sizes and two numbers of epochs; the paper does not say how it was chosen."


@dataclass(frozen=True)
class PublishedScore:
    """One row of a published table; scores that are not printed are None."""

    table: str  # number of the paper's table, "5 omitted" for the row that it leaves out, or "MEGC2019"
    corpus: str  # the name of our corpus folder
    year: int
    method: str  # as printed
    model: str  # class name of our model; "" if there is none
    accuracy: float | None  # 0 to 1, as all scores
    f1: float | None
    uf1: float | None
    uar: float | None
    error_rate: float | None
    classes: int | None  # None where it is not known
    source: str  # key of SOURCES
    protocol: str  # key of PROTOCOLS
    trust: str  # key of TRUST
    notes: tuple[str, ...]  # keys of NOTES

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Texts of the notes."""
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

    def parse(row: dict[str, str]) -> PublishedScore:
        values: dict[str, Any] = dict(row)
        values |= {name: float(row[name]) if row[name] else None for name in scores}
        values |= {"year": int(row["year"]), "notes": tuple(row["notes"].split())}
        values |= {"classes": int(row["classes"]) if row["classes"] else None}
        return PublishedScore(**values)

    return tuple(map(parse, csv.DictReader(text.splitlines())))


def select_published(
    corpus: str, *, table: str | None = None, protocol: str | None = None
) -> tuple[PublishedScore, ...]:
    """The rows of a corpus; only those of a table or protocol if given."""
    return tuple(
        row
        for row in load_published()
        if row.corpus == corpus and table in (None, row.table) and protocol in (None, row.protocol)
    )


def find_published(corpus: str, model: str) -> PublishedScore | None:
    """The paper's number for one of our models on a corpus, or None.

    Example:
        >>> find_published("smic", "HybridAttention3DNet").accuracy
        0.9342
    """
    return next((row for row in load_published() if model and (row.corpus, row.model) == (corpus, model)), None)


def collect_footnotes(rows: Iterable[PublishedScore]) -> dict[str, str]:
    """The notes of these rows, each once, in order."""
    return {note: NOTES[note] for row in rows for note in row.notes}


VERDICTS = {
    "A": "published well enough to be built as it is",
    "B": "the idea is published and sizes are not: built with choices of our own",
    "C": "not published well enough: anything built would be an invention",
}


@dataclass(frozen=True)
class System:
    """A system whose numbers are quoted, and whether it can be built."""

    system: str
    reference: str  # number in the paper; "" if it has none
    year: int
    model: str  # class name of our network or baseline; "" if it is not built
    verdict: str  # key of VERDICTS
    idea: str
    code: str  # whose, and its licence
    missing: str  # what is not published, or what ours does not do


@functools.cache
def load_systems() -> tuple[System, ...]:
    """All systems, those that the paper compares itself with first.

    Example:
        >>> [each.system for each in load_systems() if each.reference == "14"]
        ['AU-GCN', 'Edge-node attention']
    """
    text = (importlib.resources.files("mer_jax.evaluation") / "systems.csv").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    return tuple(System(**{**row, "year": int(row["year"])}) for row in rows)


def find_system(row: PublishedScore) -> System | None:
    """The system of a published number; None for the paper's own networks and for short programs."""
    reference = row.method.partition(" [")[2].rstrip("]")
    name = row.method.partition(" [")[0]
    for each in load_systems():
        if each.system.lower() == name.lower() or (reference and each.reference == reference):
            return each
    return None


def find_system_of(model: str) -> System | None:
    """The system that one of our networks or baselines implements; None if no number of it is quoted."""
    return next((each for each in load_systems() if model and each.model == model), None)
