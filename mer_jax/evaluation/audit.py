"""Audit of a finished run from its files alone: which clips trained, validated and tested each fold.

`folds.json` of a run folder lists the clips on each side of each fold:

    {"protocols": {"loso": {"0": [{"fold": 0, "name": "s1", "train": ["s2_01"], "validation": [], "test": ["s1_01"]}]}},
     "clips": {"s1_01": {"subject": "s1", "corpus": "smic"}, "s2_01": {"subject": "s2", "corpus": "smic"}}}

Protocols are keyed by name, folds by seed. Under a protocol that divides augmented copies, a fold also has `copies`:
for each side, the copy number of each item (0 is the clip itself). A checksum over all tells damage.

A person is a subject name together with a corpus; a name that occurs in two corpora is taken for two people.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mer_jax.data.clips import Clips
from mer_jax.errors import MerError
from mer_jax.evaluation.predictions import read_predictions
from mer_jax.evaluation.results import STATISTICS, ProtocolResult
from mer_jax.protocols import Plan
from mer_jax.system.files import is_sealed, natural_key, seal, write_atomically

FOLDS, PREDICTIONS, METRICS = "folds.json", "predictions.csv", "metrics.json"
SIDES = ("train", "validation", "test")
Item = tuple[str, int]  # clip id, and copy: 0 is the clip itself
_NAMED = 3  # examples in a message


class AuditError(MerError, ValueError):
    """A run folder that cannot be audited.

    Cause: no `folds.json`, or one that is damaged or has been edited. Cure: as the message says; without `folds.json`,
    audit `predictions.csv` alone.
    """


@dataclass(frozen=True)
class Check:
    """One statement about a run, and whether the files bear it out."""

    where: str  # protocol and seed
    statement: str
    outcome: Literal["ok", "FAULT", "unknown"]
    detail: str = ""


@dataclass(frozen=True)
class FoldSides:
    """The items on each side of one fold."""

    fold: int
    name: str
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]

    def side(self, name: str) -> tuple[Item, ...]:
        """The items of a side by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


@dataclass(frozen=True)
class RunFolds:
    """Content of `folds.json`."""

    protocols: Mapping[str, Mapping[int, tuple[FoldSides, ...]]]  # by name and seed
    people: Mapping[str, str]  # corpus and subject of each clip
    is_sealed: bool | None  # whether its checksum holds; None without one


def write_folds(path: Path, plans: Mapping[str, Mapping[int, Plan]], clips: Clips) -> Path:
    """Writes `folds.json`: the clips on each side of each fold.

    Args:
        path: The file to write.
        plans: Plans by protocol and seed.
        clips: The corpus that was divided.

    Returns:
        The path.
    """
    protocols = {
        name: {str(seed): [_describe_fold(plan, number, clips) for number in range(len(plan.folds))]
               for seed, plan in by_seed.items()}
        for name, by_seed in plans.items()
    }  # fmt: skip
    people = zip(clips.clip_id, clips.subject, clips.corpus, strict=True)
    content = {
        "protocols": protocols,
        "clips": {clip: {"subject": subject, "corpus": corpus} for clip, subject, corpus in people},
    }
    return write_atomically(path, json.dumps(seal(content), indent=1) + "\n")


def read_folds(path: Path) -> RunFolds:
    """Reads `folds.json`.

    Raises:
        AuditError: No such file, or not in the form that the module describes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AuditError(
            f"{path} cannot be read: {error.strerror}; expected the {FOLDS} of a run. Audit the {PREDICTIONS} alone: "
            f"mer audit {path.with_name(PREDICTIONS)}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise AuditError(
            f"{path} is not readable JSON ({error}); expected the {FOLDS} of a run. It is damaged."
        ) from error
    where = "the whole"
    try:
        if extra := sorted(content.keys() - {"protocols", "clips", "checksum"}):
            raise ValueError(f"unknown entry {extra[0]!r}")
        people = {}
        for where, clip in content["clips"].items():
            people[where] = f"{_text(clip['corpus'])}/{_text(clip['subject'])}"
        protocols = {}
        for name, by_seed in content["protocols"].items():
            protocols[name] = {}
            for seed, folds in by_seed.items():
                where = f"protocol {name}, seed {seed}"
                protocols[name][int(seed)] = tuple(_parse_fold(each) for each in _list(folds))
        if not protocols or not all(protocols.values()):
            raise ValueError("no folds")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise AuditError(f"{path} is not in the form of a {FOLDS}, at {where}: {reason}. It is damaged.") from error
    return RunFolds(protocols, people, is_sealed(content) if "checksum" in content else None)


def audit_run(run: Path, *, protocols: Sequence[str] = ()) -> list[Check]:
    """Audits a run folder: its folds, its predictions, and that both and `metrics.json` agree.

    Args:
        run: Run folder with `folds.json`; `predictions.csv` and `metrics.json` are audited if they exist.
        protocols: Only these; by default all.

    Returns:
        The checks, in the order of the protocols.

    Raises:
        AuditError: No usable `folds.json`, or a protocol that it does not have.
        PredictionsError: `predictions.csv` cannot be read.
    """
    folds = read_folds(run / FOLDS)
    unknown = [name for name in protocols if name not in folds.protocols]
    if unknown:
        raise AuditError(f"{run / FOLDS} has no protocol {unknown[0]!r}; expected one of {', '.join(folds.protocols)}.")
    chosen = [name for name in folds.protocols if not protocols or name in protocols]
    results = {}
    if (run / PREDICTIONS).exists():
        results = {result.protocol: result for result in read_predictions(run / PREDICTIONS)}
    metrics = _read_metrics(run / METRICS)
    checks = [_check_seal(folds)]
    for name in chosen:
        for seed, sides in folds.protocols[name].items():
            where = f"{name}, seed {seed}"
            checks += [Check(where, *each) for each in check_folds(sides, folds.people)]
            checks += [Check(where, *each) for each in _check_predictions(sides, results.get(name), seed)]
        checks += [Check(name, *each) for each in _check_names(folds.people, results.get(name))]
        checks += [Check(name, *each) for each in _check_metrics(results.get(name), metrics.get(name))]
    extra = sorted(results.keys() - folds.protocols.keys())
    if extra and not protocols:
        detail = f"{', '.join(extra)}: not in {FOLDS}"
        checks.append(Check("all", f"{PREDICTIONS} has no other protocols", "FAULT", detail))
    return checks


def audit_predictions(path: Path, *, protocols: Sequence[str] = (), class_names: Sequence[str] = ()) -> list[Check]:
    """Audits a `predictions.csv` alone, as far as that is possible.

    Args:
        path: The file, of any system.
        protocols: Only these; by default all.
        class_names: All classes, if one of them is never true.

    Raises:
        AuditError: A protocol that the file does not have.
        PredictionsError: The file cannot be read.
    """
    results = {result.protocol: result for result in read_predictions(path, class_names=class_names)}
    unknown = [name for name in protocols if name not in results]
    if unknown:
        raise AuditError(f"{path} has no protocol {unknown[0]!r}; expected one of {', '.join(results)}.")
    checks = []
    for name, result in results.items():
        if protocols and name not in protocols:
            continue
        checks += [Check(name, *each) for each in (*_check_rows(result), *_check_people(result), *_cannot_be_known())]
    return checks


def check_folds(
    folds: Sequence[FoldSides], people: Mapping[str, str]
) -> list[tuple[str, Literal["ok", "FAULT", "unknown"], str]]:
    """Checks the folds of one protocol and seed.

    Args:
        folds: All folds.
        people: Corpus and subject of each clip of the corpus.

    Returns:
        Statement, outcome and detail of each check.
    """
    listed = [item for fold in folds for side in SIDES for item in fold.side(side)]
    strangers = sorted({clip for clip, _ in listed} - people.keys(), key=natural_key)
    checks = [_outcome("every clip is one of the corpus", strangers)]
    person = {clip: people.get(clip, f"unknown/{clip}") for clip, _ in listed}
    for unit, of_clip in (("clip", {clip: clip for clip in person}), ("person", person)):
        for side, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
            shared = []
            for fold in folds:
                common = {of_clip[c] for c, _ in fold.side(side)} & {of_clip[c] for c, _ in fold.side(other)}
                shared += [f"{each} (fold {fold.name})" for each in sorted(common, key=natural_key)]
            checks.append(_outcome(f"no {unit} is in {other} and {side} of a fold", shared))
    repeated = [
        f"{clip} (fold {fold.name}, {side})"
        for fold in folds
        for side in SIDES
        for (clip, _), times in Counter(fold.side(side)).items()
        if times > 1
    ]
    checks.append(_outcome("no item is listed twice on a side", repeated))
    times = Counter(item for fold in folds for item in fold.test)
    wrong = [f"{clip}: {times[clip, 0]} times" for clip in sorted(people, key=natural_key) if times[clip, 0] != 1]
    wrong += [f"copy {copy} of {clip}" for clip, copy in times if copy]
    checks.append(_outcome("every clip is tested once", wrong))
    empty = [f"fold {fold.name}: {side}" for fold in folds for side in ("train", "test") if not fold.side(side)]
    checks.append(_outcome("every fold trains and tests", empty))
    return checks


def describe_audit(checks: Sequence[Check]) -> str:
    """Formats checks for a terminal, grouped by protocol and seed, with a summary in the last line."""
    lines, previous = [], None
    for check in checks:
        if check.where != previous:
            lines.append(check.where)
            previous = check.where
        lines.append(f"  {check.outcome:<8}{check.statement}" + (f": {check.detail}" if check.detail else ""))
    count = Counter(check.outcome for check in checks)
    lines.append(
        f"{count['ok']} checks passed, {count['FAULT']} failed, {count['unknown']} cannot be decided from the files"
    )
    return "\n".join(lines)


def _check_predictions(folds: Sequence[FoldSides], result: ProtocolResult | None, seed: int) -> Iterable[tuple]:
    """Whether the predictions of one protocol and seed are those of the folds' test items."""
    statement = f"{PREDICTIONS} has exactly the test items of each fold"
    if result is None:
        yield statement, "unknown", f"there is no {PREDICTIONS} with this protocol"
        return
    predicted: dict[int, list[Item]] = {fold.fold: [] for fold in folds}
    others = []
    for row in np.flatnonzero(result.seed == seed).tolist():
        item = (result.clip_id[row] if result.clip_id else f"row {row + 1}", int(result.copy[row]))
        own = predicted.get(int(result.fold[row]))
        if own is None:
            others.append(f"{item[0]}: fold {int(result.fold[row])} is not in {FOLDS}")
        else:
            own.append(item)
    for fold in folds:
        extra, lost = set(predicted[fold.fold]) - set(fold.test), set(fold.test) - set(predicted[fold.fold])
        others += [f"{clip}: predicted but not tested in fold {fold.name}" for clip, _ in sorted(extra)]
        others += [f"{clip}: tested in fold {fold.name} but not predicted" for clip, _ in sorted(lost)]
    yield _outcome(statement, others)


def _check_names(people: Mapping[str, str], result: ProtocolResult | None) -> Iterable[tuple]:
    """Whether the predictions name the same person for each clip."""
    if result is None or not (result.clip_id and result.subject):
        return
    wrong = {
        clip: f"{clip}: {subject} in {PREDICTIONS}, {people[clip]} in {FOLDS}"
        for clip, subject in zip(result.clip_id, result.subject, strict=True)
        if clip in people and people[clip].partition("/")[2] != subject
    }
    yield _outcome(f"{PREDICTIONS} names the same person for each clip", list(wrong.values()))


def _check_seal(folds: RunFolds) -> Check:
    statement = "the checksum holds"
    if folds.is_sealed is None:
        return Check(FOLDS, statement, "unknown", "the file has none")
    detail = "" if folds.is_sealed else "the file is damaged or was edited"
    return Check(FOLDS, statement, "ok" if folds.is_sealed else "FAULT", detail)


def _check_metrics(result: ProtocolResult | None, entry: Any) -> Iterable[tuple]:
    """Whether the scores in `metrics.json` follow from the predictions."""
    statement = f"accuracy, UF1 and UAR of {METRICS} follow from {PREDICTIONS}"
    if result is None or entry is None:
        yield statement, "unknown", f"there is no {METRICS if result else PREDICTIONS} with this protocol"
        return
    wrong = []
    for name in STATISTICS:
        stated, computed = entry.get(name) if isinstance(entry, dict) else None, result.scores()[name]
        if not isinstance(stated, int | float) or abs(stated - computed) > 1e-9:
            wrong.append(f"{name} is {stated}, computed {computed:.6f}")
    yield _outcome(statement, wrong)


def _check_rows(result: ProtocolResult) -> Iterable[tuple]:
    statement = "every clip is predicted at most once for each seed and copy, always with the same true class"
    if not result.clip_id:
        yield statement, "unknown", "there is no column clip_id"
        return
    truths: dict[tuple, set[int]] = {}
    for key, true in zip(result.item_keys(("corpora", "subject", "clip_id")), result.true.tolist(), strict=True):
        truths.setdefault(key, set()).add(true)
    yield _outcome(statement, ["/".join(key) for key, classes in truths.items() if len(classes) > 1])
    seeds = np.unique(result.seed).tolist()
    sets = [{key for key, own in zip(result.item_keys(("corpora", "subject", "clip_id", "copy")),
                                     result.seed.tolist(), strict=True) if own == seed} for seed in seeds]  # fmt: skip
    differing = [f"seed {seed}" for seed, each in zip(seeds, sets, strict=True) if each != sets[0]]
    if len(seeds) > 1:
        yield _outcome("every seed predicts the same clips", differing)
    copies = [result.describe_row(row) for row in np.flatnonzero(result.copy).tolist()]
    yield _outcome("no augmented copy of a clip is tested", copies)


def _check_people(result: ProtocolResult) -> Iterable[tuple]:
    statement = "all clips of a person are tested in the same fold"
    missing = [name for name, known in (("subject", bool(result.subject)), ("fold", len(np.unique(result.fold)) > 1))
               if not known]  # fmt: skip
    if missing:
        yield statement, "unknown", f"there is no column {' and no column '.join(missing)}"
        return
    folds: dict[tuple[str, int], set[int]] = {}
    for person, seed, fold in zip(result.people, result.seed.tolist(), result.fold.tolist(), strict=True):
        folds.setdefault((person, seed), set()).add(fold)
    divided = [f"{person}, in {len(each)} folds" for (person, _), each in folds.items() if len(each) > 1]
    yield _outcome(statement, list(dict.fromkeys(divided)))
    of_fold = Counter((seed, fold) for (_, seed), each in folds.items() for fold in each)
    kind = (
        "one person in each fold" if max(of_fold.values()) == 1 else f"up to {max(of_fold.values())} people in a fold"
    )
    yield "the file names people and folds", "ok", f"{len({fold for _, fold in of_fold})} folds, {kind}"


def _cannot_be_known() -> Iterable[tuple]:
    for statement in (
        "no clip and no person of a fold's test was in its training",
        "the epoch was not chosen on the test",
        "all clips of the corpus were tested",
    ):
        yield statement, "unknown", f"a {PREDICTIONS} does not say; the {FOLDS} of a run does for folds and clips"


def _outcome(statement: str, faults: Sequence[str]) -> tuple[str, Literal["ok", "FAULT", "unknown"], str]:
    """The outcome of a statement with these counterexamples."""
    if not faults:
        return statement, "ok", ""
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    named = [each if each.isprintable() else ascii(each) for each in faults[:_NAMED]]
    return statement, "FAULT", "; ".join(named) + more


def _describe_fold(plan: Plan, number: int, clips: Clips) -> dict[str, Any]:
    fold = plan.folds[number]
    masks = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    sides = {side: [clips.clip_id[clip] for clip in plan.clip[mask].tolist()] for side, mask in masks.items()}
    entry: dict[str, Any] = {"fold": number, "name": fold.name, **sides}
    if plan.copy.any():
        entry["copies"] = {side: plan.copy[mask].tolist() for side, mask in masks.items()}
    return entry


def _parse_fold(entry: Mapping[str, Any]) -> FoldSides:
    copies = entry.get("copies")
    sides = {}
    for side in SIDES:
        clips = [_text(clip) for clip in _list(entry[side])]
        numbers = [_number(copy) for copy in _list(copies[side])] if copies is not None else [0] * len(clips)
        if len(numbers) != len(clips):
            raise ValueError(f"{len(clips)} clips but {len(numbers)} copies in {side}")
        sides[side] = tuple(zip(clips, numbers, strict=True))
    return FoldSides(_number(entry["fold"]), _text(entry["name"]), **sides)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got {value!r}, expected text")
    return value


def _list(value: Any) -> list:
    if not isinstance(value, list):
        raise TypeError(f"got {str(value)[:40]!r}, expected a list")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"got {value!r}, expected a whole number from 0")
    return value


def _read_metrics(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AuditError(f"{path} is not readable JSON ({error}); expected the {METRICS} of a run.") from error
    if not isinstance(content, dict):
        raise AuditError(f"{path} holds {type(content).__name__}, expected one entry for each protocol.")
    return content
