"""`report.html`: one self-contained file that opens offline, on any screen."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from mer_jax.evaluation.gap import PAPER, find_honest, measure_gap
from mer_jax.evaluation.mistakes import ConfusedPair, find_confused_pairs
from mer_jax.evaluation.published import (
    PAPER_CHOICE,
    PROTOCOLS,
    SOURCES,
    TRUST,
    collect_footnotes,
    find_published,
    select_published,
)
from mer_jax.evaluation.results import DEFINITIONS, FoldSummary, ProtocolResult
from mer_jax.prediction.usage import MEANING
from mer_jax.report import figures
from mer_jax.report.mistakes import ShownClip, draw_difficulty, draw_errors
from mer_jax.system.files import natural_key, write_atomically

if TYPE_CHECKING:
    from mer_jax.explain.explanation import Explanation

LABELS = {
    "accuracy": "Accuracy",
    "error_rate": "Error rate",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "f1_macro": "Macro F1",
    "f1_weighted": "Weighted F1",
    "f1_micro": "Micro F1",
    "uf1": "UF1",
    "uar": "UAR",
    "precision_macro": "Macro precision",
    "ece": "Calibration error (ECE)",
    "brier": "Brier score",
    "fold_means": "Mean over folds",
    "seeds": "Spread over seeds",
    "chance": "Chance",
    "majority": "Largest class",
    "test_best": "Test-best epoch",
}


def write_report(
    run_dir: Path,
    *,
    results: Sequence[ProtocolResult],
    history: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    faces: Sequence[figures.FaceExample],
    errors: Sequence[tuple[ConfusedPair, Sequence[ShownClip]]] = (),
    explained: "Sequence[Explanation]" = (),
    facts: Mapping[str, Mapping[str, float]] | None = None,
    missing: Sequence[tuple[str, FoldSummary]] = (),
    no_faces: str = "",
    left_out: Mapping[str, str] | None = None,
    repaired: Sequence[str] = (),
    doubtful: Mapping[str, str] | None = None,
) -> Path:
    """Draws the pictures of a run and writes its page.

    Writes `confusion.png`, `curves.png`, `gap.png`, `faces.png`, `errors.png`, `explained.png`, `difficulty.png`
    (those with nothing to draw are left out) and `report.html`, which contains them.

    Args:
        run_dir: The run folder; it must exist.
        results: One result for each protocol.
        history: Records of `history.jsonl` (see `figures.draw_curves`).
        config: The experiment as plain data, printed as it is.
        environment: Versions, machine, commit, data fingerprint and the like, by name; `command`, which repeats the
            run, is printed separately.
        faces: One clip per class; none to show no faces.
        errors: The most confused pairs, each with clips.
        explained: One recognised clip per class, by the network that had not seen its person.
        facts: Properties of the clips that may make them hard, by name with unit and clip id.
        missing: Folds without a result, each with its protocol.
        no_faces: Why no faces are shown; "" where they are.
        left_out: Why a clip that the release lists was not used, by clip id.
        repaired: One sentence for every repaired clip.
        doubtful: What is doubtful about a clip that was used, by clip id.

    Returns:
        Path of the page.
    """
    entries = {result.protocol: result.scores() for result in results}
    some = results[0]
    pictures = {"gap": figures.draw_gap(entries), "confusion": figures.draw_confusion(entries)}
    if history:
        pictures["curves"] = figures.draw_curves(history, entries)
    if faces:
        pictures["faces"] = figures.draw_faces(faces, some.provenance)
    if errors:
        pictures["errors"] = draw_errors(errors, some.provenance)
    if explained:
        from mer_jax.report.maps import draw_explained  # brings JAX, which `mer inspect` does without

        pictures["explained"] = draw_explained(explained, some.provenance)
    if difficulty := draw_difficulty(results, facts or {}, some.provenance):
        pictures["difficulty"] = difficulty
    for name, picture in pictures.items():
        write_atomically(run_dir / f"{name}.png", picture)

    shown = {key: value for key, value in environment.items() if key != "command"}
    published = find_published(some.corpus, some.model)
    text = load_template("report.html.j2").render(
        model=some.model,
        corpus=some.corpus,
        surrogate=some.provenance == "surrogate",
        provenance=some.provenance,
        class_names=some.class_names,
        seeds=sorted({int(seed) for result in results for seed in np.unique(result.seed)}),
        entries=entries,
        paper=PAPER,
        honest=find_honest(entries),
        gap=measure_gap(entries),
        strips={result.protocol: _subject_strip(result) for result in results},
        published=published,
        published_source=published and SOURCES[published.source],
        published_protocol=published and PROTOCOLS[published.protocol],
        published_choice=PAPER_CHOICE,
        published_rows=select_published(some.corpus),
        published_keys={"protocol": PROTOCOLS, "trust": TRUST, "source": SOURCES},
        footnotes=collect_footnotes(select_published(some.corpus)),
        pictures={name: base64.b64encode(picture).decode() for name, picture in pictures.items()},
        faces=faces,
        explained=explained,
        meaning=MEANING,
        confused={
            result.protocol: find_confused_pairs(result) if result.probabilities is not None and result.clip_id else []
            for result in results
        },
        missing=missing,
        no_faces=no_faces,
        left_out=left_out or {},
        repaired=repaired,
        doubtful=doubtful or {},
        definitions={LABELS[key]: text for key, text in DEFINITIONS.items()},
        config=json.dumps(config, indent=2, default=str),
        environment=shown,
        command=environment.get("command"),
    )
    return write_atomically(run_dir / "report.html", text)


def _subject_strip(result: ProtocolResult) -> list[dict[str, Any]]:
    """One cell for each tested person, in natural order: s2 before s10."""
    names, counts = result.subject_counts()
    cells = [
        {"name": name, "items": int(matrix.sum()), "right": int(np.trace(matrix))}
        for name, matrix in zip(names, counts, strict=True)
    ]
    return sorted(cells, key=lambda cell: natural_key(cell["name"]))


def load_template(name: str) -> jinja2.Template:
    """Loads one of the package's templates, with the filters that all pages share.

    Args:
        name: File name in `templates/`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mer_jax.report"),
        autoescape=True,  # names of clips and subjects come from file names
        undefined=jinja2.StrictUndefined,  # a misspelt name is an error, not a gap in the page
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f}\u00a0%"
    environment.filters["score"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["bounds"] = _bounds
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    return environment.get_template(name)


def _bounds(interval: Mapping[str, Any] | None, *, percent: bool = True) -> str:
    """Formats `77.6 to 92.3 %` or `0.776 to 0.923`, with the note of the interval; a dash if there is none."""
    if interval is None:
        return "–"
    low, high = interval["low"], interval["high"]
    bounds = f"{100 * low:.1f} to {100 * high:.1f}\u00a0%" if percent else f"{low:.3f} to {high:.3f}"
    return f"{bounds} ({interval['note']})" if interval["note"] else bounds
