"""Reads and writes `predictions.csv`, of this library or any other system.

One row for each tested item. Two columns are required, `true` and `predicted`; the others are optional. A file that
cannot be read without doubt is refused, with the first row that does not fit.
"""

import csv
import difflib
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from mer_jax.errors import near_names
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.system.files import natural_key, write_atomically

FIXED_COLUMNS = (
    "clip_id", "subject", "corpus", "provenance", "protocol", "fold", "seed", "copy", "true", "predicted"
)  # fmt: skip
NEEDED_COLUMNS = ("true", "predicted")
PROBABILITY_PREFIX = "p_"
UNNAMED_PROTOCOL = "predictions"  # of a file without a column `protocol`
# Tolerance when the predicted class is compared with the most probable one: probabilities in files are rounded.
ROUNDING = 1e-6
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}")


def write_predictions(path: Path, results: Sequence[ProtocolResult]) -> Path:
    """Writes `predictions.csv`: a row for each tested item.

    Columns: `clip_id, subject, corpus, provenance, protocol, fold, seed, copy, true, predicted` and `p_<class>` for
    each class. `true` and `predicted` are class names; probabilities have 9 digits, enough to restore a float32
    exactly.

    Args:
        path: The file to write.
        results: Results with the same classes, with probabilities, clip ids and subjects.

    Returns:
        The path.

    Raises:
        PredictionsError: The results differ in their classes, or one lacks probabilities.
    """
    class_names = results[0].class_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED_COLUMNS, *(PROBABILITY_PREFIX + name for name in class_names)])
    for result in results:
        if result.class_names != class_names:
            raise PredictionsError(
                f"{result.protocol} has classes {result.class_names}; expected {class_names} as before."
            )
        if result.probabilities is None:
            raise PredictionsError(f"{result.protocol} has no probabilities; expected those of each class.")
        predicted = result.predicted
        corpora = result.corpora or (result.corpus,) * len(result.true)
        for row in range(len(result.true)):
            writer.writerow(
                [result.clip_id[row], result.subject[row], corpora[row], result.provenance, result.protocol]
                + [result.fold[row], result.seed[row], result.copy[row]]
                + [class_names[result.true[row]], class_names[predicted[row]]]
                + [format(value, ".9g") for value in result.probabilities[row].tolist()]
            )
    return write_atomically(path, text.getvalue())


def read_predictions(path: Path, *, class_names: Sequence[str] = ()) -> tuple[ProtocolResult, ...]:
    """Reads predictions of any system: a result for each protocol, in the order of the file.

    Args:
        path: A CSV file with a header and at least the columns `true` and `predicted`. Optional columns: `clip_id,
            subject, corpus, provenance, protocol, fold, seed, copy`, and `p_<class>`, the probability of each class.
            Clip names may repeat between people and corpora if those are given.
        class_names: All classes, in order; by default those of the columns `p_<class>` or, without such columns, those
            in `true`.

    Returns:
        The results. What is not in the file stays empty: the model, the protocol's description, the training.

    Raises:
        PredictionsError: No readable file, no rows, a missing column, an unknown class, empty cells, text instead of
            numbers, a predicted class that is not the most probable one, or a clip that occurs twice.
    """
    header, columns = _read_columns(path)
    rows = len(columns[0]) if columns else 0
    if not rows:
        raise PredictionsError(f"{path} holds no predictions; expected a row for each tested item.")
    cells = dict(zip(header, columns, strict=True))
    probabilities = _parse_probabilities(path, cells)
    named = [name.removeprefix(PROBABILITY_PREFIX) for name in cells if name.startswith(PROBABILITY_PREFIX)]
    if named and class_names and sorted(named) != sorted(class_names):
        raise PredictionsError(
            f"{path} has probabilities of {', '.join(named)}; expected the classes of --classes, "
            f"{', '.join(class_names)}."
        )
    classes = tuple(named or class_names or sorted(set(cells["true"]), key=natural_key))
    true, predicted = (_index_classes(path, name, cells[name], classes) for name in NEEDED_COLUMNS)
    numbers = {name: _parse_numbers(path, name, cells.get(name), rows) for name in ("seed", "copy")}
    numbers["fold"] = _number_folds(cells.get("fold"), rows)
    protocol = np.array(cells.get("protocol", (UNNAMED_PROTOCOL,) * rows))
    results = []
    for name in dict.fromkeys(protocol.tolist()):
        picked = np.flatnonzero(protocol == name)
        mine = picked.tolist() if len(picked) < rows else None

        def take(column: str, mine: list[int] | None = mine) -> tuple[str, ...]:
            whole = cells.get(column, ())
            return tuple(whole) if mine is None or not whole else tuple(whole[row] for row in mine)

        corpora = take("corpus")
        provenances = sorted(set(take("provenance"))) or ["unstated"]
        if len(provenances) > 1:
            raise PredictionsError(
                f"{path}, protocol {name}: provenance is {' and '.join(provenances)}; expected one. Score them "
                "separately."
            )
        try:
            result = ProtocolResult(
                protocol=name,
                corpus="+".join(sorted(set(corpora))),
                provenance=provenances[0],
                clip_id=take("clip_id"),
                subject=take("subject"),
                corpora=corpora if len(set(corpora)) > 1 else (),
                true=true[picked],
                stated=predicted[picked],
                probabilities=None if probabilities is None else probabilities[picked],
                class_names=classes,
                fold=numbers["fold"][picked],
                seed=numbers["seed"][picked],
                copy=numbers["copy"][picked],
            )
            _check_stated(result)
        except PredictionsError as error:
            raise PredictionsError(f"{path}: {error}") from error
        results.append(result)
    return tuple(results)


def _read_columns(path: Path) -> tuple[list[str], list[tuple[str, ...]]]:
    """Reads the header and all columns as text, stripped of spaces."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PredictionsError(f"{path} cannot be read: {error.strerror}; expected a file predictions.csv.") from error
    except UnicodeDecodeError as error:
        raise PredictionsError(f"{path} is not text in UTF-8; expected a .csv file. Export it as UTF-8.") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(lines, [])]
        if not header:
            raise PredictionsError(f"{path} is empty; expected a header with the columns true and predicted.")
        _check_header(path, header)
        rows = [row for row in lines if row]
    except csv.Error as error:
        raise PredictionsError(f"{path}, line {lines.line_num}: {error}; expected comma-separated values.") from error
    width = len(header)
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise PredictionsError(
                f"{path}, row {number} has {len(row)} cells: {','.join(row)[:60]!r}; expected {width} as in the header."
            )
    columns = [tuple(map(str.strip, column)) for column in zip(*rows, strict=True)]
    for name, column in zip(header, columns, strict=False):
        if name in FIXED_COLUMNS and "" in column:
            raise PredictionsError(
                f"{path}, row {column.index('') + 1}: {name} is empty; expected a value in each row."
            )
    return header, columns


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in NEEDED_COLUMNS if name not in header]
    if missing:
        shown = ", ".join(header)[:200]
        for sign, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if len(header) == 1 and sign in header[0]:
                raise PredictionsError(f"{path} is separated by {word}; expected commas. Its header is {shown!r}.")
        hints = " ".join(f"{name}: {near_names(name, header)}" for name in missing)
        raise PredictionsError(f"{path} lacks the columns {', '.join(missing)}; it has {shown}. {hints}")
    for name in header:
        known = difflib.get_close_matches(name.casefold(), FIXED_COLUMNS, n=1, cutoff=0.8)
        if known and name not in FIXED_COLUMNS and known[0] not in header:
            raise PredictionsError(f"{path} has a column {name!r}; did you mean {known[0]!r}? Rename it, or drop it.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise PredictionsError(f"{path} has the column {twice[0]!r} twice; expected each once.")


def _parse_probabilities(path: Path, cells: dict[str, tuple[str, ...]]) -> Float[np.ndarray, "n k"] | None:
    columns = []
    for name, column in cells.items():
        if not name.startswith(PROBABILITY_PREFIX):
            continue
        try:
            columns.append(np.array(column, dtype=float))
        except ValueError as error:
            raise PredictionsError(
                f"{path} cannot be read: {name} holds a value that is not a number ({error})."
            ) from error
    return np.stack(columns, axis=1) if columns else None


def _index_classes(path: Path, name: str, column: tuple[str, ...], classes: tuple[str, ...]) -> Int[np.ndarray, "n"]:
    index = {each: number for number, each in enumerate(classes)}
    try:
        return np.array([index[cell] for cell in column])
    except KeyError as error:
        unknown = error.args[0]
        raise PredictionsError(
            f"{path}, row {column.index(unknown) + 1}: {name} is {unknown!r}, an unknown class; expected one of "
            f"{', '.join(classes)}. If no test item is of class {unknown!r}, name all classes: "
            f"--classes={','.join([*classes, unknown])}."
        ) from error


def _check_stated(result: ProtocolResult) -> None:
    if result.probabilities is None:
        return
    stated = result.probabilities[np.arange(len(result.true)), result.predicted]
    contradicted = np.flatnonzero(stated < result.probabilities.max(1) - ROUNDING)
    if contradicted.size:
        row = int(contradicted[0])
        raise PredictionsError(
            f"{result.describe_row(row)} is predicted as {result.class_names[result.predicted[row]]!r}, but the most "
            f"probable class is {result.class_names[result.probabilities[row].argmax()]!r}. Are the columns of "
            "probabilities in the right order? To score `predicted` alone, leave them out."
        )


def _parse_numbers(path: Path, name: str, column: tuple[str, ...] | None, rows: int) -> Int[np.ndarray, "n"]:
    if column is None:
        return np.zeros(rows, int)
    wrong = next((row for row, cell in enumerate(column) if not _WHOLE_NUMBER.fullmatch(cell)), None)
    if wrong is not None:
        raise PredictionsError(
            f"{path}, row {wrong + 1}: {name} is {column[wrong]!r}; expected a whole number of at most 15 digits."
        )
    return np.array(column).astype(np.int64)


def _number_folds(column: tuple[str, ...] | None, rows: int) -> Int[np.ndarray, "n"]:
    """Folds as numbers; names, such as those of subjects, are numbered in natural order."""
    if column is None:
        return np.zeros(rows, int)
    names = set(column)
    if all(_WHOLE_NUMBER.fullmatch(name) and not name.startswith("-") for name in names):
        return np.array(column).astype(np.int64)
    number = {name: index for index, name in enumerate(sorted(names, key=natural_key))}
    return np.array([number[name] for name in column])
