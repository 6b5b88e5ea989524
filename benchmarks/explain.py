"""Benchmark of explanation maps: do they point at the moving region, and do they pass their sanity checks?

    python -m benchmarks.explain RUN [--clips 48] [--draws 4] [--json FILE]

RUN is a finished run on a SURROGATE corpus, whose moving regions are known. Each clip is explained by the network of
the fold that had not seen its person, and only clips that it recognised. Maps are compared with random cells and with
the amount of motion in each cell, which knows nothing of the network.

* pointing: the middle of the highest cell lies at most 15 pixels of the 128x128 face from the moving region
* inside: share of the positive part of the map that lies in the moving region
* deletion, insertion: mean probability of the class while the motion of all cells is taken away from, or given to, a
  still face, highest first, four cells at a time; low deletion and high insertion are good
"""

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool
from scipy.ndimage import distance_transform_edt

from benchmarks.timing import describe_machine, format_table, make_parser
from datasets.load import load_corpus
from datasets.surrogate.corpus import CORPORA
from datasets.surrogate.plan import CorpusOptions
from datasets.surrogate.regions import moving_region
from datasets.surrogate.studio import make_renderer
from experiments.picture import find_result
from experiments.repeat import read_record
from mer_jax.cli.command import run_command
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError
from mer_jax.explain.attention import compare_attention
from mer_jax.explain.checks import check_map, measure_motion, prepare_checks
from mer_jax.explain.clip import map_makers
from mer_jax.explain.layout import CELL_PX, Cells, Inputs, still_inputs
from mer_jax.explain.maps import Contrast, Explained, contrast_of
from mer_jax.explain.network import ExplainedNetwork, explain_network
from mer_jax.training.checkpoint import read_weights
from mer_jax.training.train import checkpoint_folder

TOLERANCE_PX = 15
RANDOM_ORDERS = 3
AT_A_TIME = 4  # cells, in deletion and insertion
ENERGY, RANDOM, GRADIENT = "motion energy", "random cells", "absolute gradient"


@dataclasses.dataclass(frozen=True, eq=False)
class _Case:
    """One recognised clip."""

    clip_id: str
    fold: int
    class_index: int
    inputs: Inputs
    region: Bool[np.ndarray, "128 128"]


def find_regions(experiment: Experiment, clips: Clips, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the moving regions of the wanted clips of a surrogate corpus, by clip id."""
    release = CORPORA[experiment.corpus]
    options = CorpusOptions(
        experiment.surrogate_difficulty,
        experiment.surrogate_subjects or release.num_subjects,
        experiment.surrogate_clips or release.num_clips,
        experiment.surrogate_seed,
        version=experiment.surrogate_version,
    )
    plan = release.plan(options)
    regions = {}
    for subject in plan.subjects:
        chosen = [clip for clip in subject.clips if clip.clip_id in wanted]
        if not chosen:
            continue
        variation = options.difficulty_preset.anatomy_variation
        renderer = make_renderer(subject.subject, plan.geometry, variation, version=options.version)
        for clip in chosen:
            landmarks = clips.landmarks[clips.clip_id.index(clip.clip_id)]
            regions[clip.clip_id] = moving_region(renderer, clip.spec, landmarks)
    return regions


def collect_cases(run: Path, count: int, data_dir: str | None) -> tuple[Experiment, str, list[_Case]]:
    """Selects correctly classified clips of a run, spread evenly over its subjects, with their moving regions.

    Raises:
        ConfigError: The run is not on a surrogate, or its network takes another view.
    """
    experiment = read_record(run).experiment
    view = find_view(experiment.model)
    if view.name not in ("halves", "face"):
        raise ConfigError(f"{run} has a network of the view {view.name!r}; expected halves or face")
    clips, _ = load_corpus(experiment, data_dir=data_dir, say=lambda line: print(line, file=sys.stderr))
    if clips.provenance != "surrogate" or experiment.corpus not in CORPORA:
        raise ConfigError(
            f"{run} is on {clips.corpus_name}, {clips.provenance}; expected a surrogate: regions are known"
        )
    result = find_result(run)
    rows = np.flatnonzero((result.true == result.predicted) & (result.copy == 0))
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]
    regions = find_regions(experiment, clips, [result.clip_id[row] for row in rows])
    cases = []
    for row in rows.tolist():
        name = result.clip_id[row]
        made = view.make(clips.pictures[clips.clip_id.index(name)].astype(np.float32), experiment.normalization)
        inputs = tuple(np.asarray(each) for each in made)
        cases.append(_Case(name, int(result.fold[row]), int(result.predicted[row]), inputs, regions[name]))
    return experiment, result.protocol, cases


def point(cells: Cells, region: Bool[np.ndarray, "128 128"]) -> bool:
    """Whether the middle of the highest cell lies in the region or close to it."""
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    return bool(_hits(region)[row, column])


def _hits(region: Bool[np.ndarray, "128 128"]) -> Bool[np.ndarray, "r c"]:
    """Cells whose middle is at most `TOLERANCE_PX` from the region."""
    near = distance_transform_edt(~region) <= TOLERANCE_PX
    return near[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX]


def energy_inside(cells: Cells, region: Bool[np.ndarray, "128 128"]) -> float:
    """Share of the positive part of a map that lies in the region."""
    positive = np.maximum(cells, 0)
    covered = region.reshape(len(cells), CELL_PX, -1, CELL_PX).mean(axis=(1, 3))
    return float((positive * covered).sum() / max(positive.sum(), 1e-12))


def curves(model: ExplainedNetwork, case: _Case, order: np.ndarray) -> tuple[float, float]:
    """Mean probability of the class during deletion and during insertion of the cells in an order."""
    rows, columns = model.layout.rows, model.layout.columns
    rank = np.empty(order.size, int)
    rank[order] = np.arange(order.size)
    present = (
        (rank[None] < np.arange(0, order.size + 1, AT_A_TIME)[:, None]).reshape(-1, rows, columns).astype(np.float64)
    )
    still = still_inputs(model.layout, case.inputs)
    areas = []
    for amounts in (1 - present, present):
        logits = model.logits(case.inputs, still, amounts)
        areas.append(float(np.asarray(jax.nn.softmax(logits))[:, case.class_index].mean()))
    return areas[0], areas[1]


def measure(model: ExplainedNetwork, case: _Case, draws: int, seed: int) -> dict[str, dict[str, Any]]:
    """Computes all metrics of one clip, by map."""
    contrast = contrast_of(case.class_index, model.logits(case.inputs, case.inputs, _whole(model)).shape[1])
    material = prepare_checks(model, case.inputs, contrast, draws=draws, seed=seed)
    energy = measure_motion(model, case.inputs)
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {}
    makers = {name: make for name, (_, _, make) in map_makers(case.inputs, contrast).items()}
    makers[GRADIENT] = lambda other: _absolute_gradient(other, case.inputs, contrast)
    for name, make in makers.items():
        if (cells := make(model)) is None:
            continue
        check = check_map(cells, make, material)
        ranks = [each.reshape(-1).argsort().argsort() for each in (cells, energy)]
        deletion, insertion = curves(model, case, np.argsort(-cells.reshape(-1)))
        found[name] = {
            **_place(cells, case),
            "deletion": deletion,
            "insertion": insertion,
            "correlations": list(check.correlations.values()),
            "energy_correlation": float(np.corrcoef(ranks)[0, 1]),
            "removed": check.deletion,
            "drawn": check.is_passed,
            "depends": check.depends_on_weights,
            "beats_random": check.beats_random,
        }
    deletion, insertion = curves(model, case, np.argsort(-energy.reshape(-1)))
    removed = {"removed": float(material.fall_without(energy))}
    found[ENERGY] = {**_place(energy, case), "deletion": deletion, "insertion": insertion, **removed}
    orders = [curves(model, case, rng.permutation(energy.size)) for _ in range(RANDOM_ORDERS)]
    found[RANDOM] = {
        "pointing": float(_hits(case.region).mean()),
        "inside": float(case.region.mean()),
        "deletion": float(np.mean([each for each, _ in orders])),
        "insertion": float(np.mean([each for _, each in orders])),
        "removed": float(material.random_deletions.mean()),
    }
    return found


def _absolute_gradient(model: Explained, inputs: Inputs, contrast: Contrast) -> Cells:
    """The usual saliency map, for comparison: absolute gradient at the clip, summed over frames and pixels."""
    slope = model.path_gradient(inputs, still_inputs(model.layout, inputs), np.ones(1), contrast)
    return model.layout.sum_cells(tuple(np.abs(each) for each in slope))


def _whole(model: ExplainedNetwork) -> np.ndarray:
    return np.ones((1, model.layout.rows, model.layout.columns))


def _place(cells: Cells, case: _Case) -> dict[str, float]:
    return {"pointing": float(point(cells, case.region)), "inside": energy_inside(cells, case.region)}


def _format(found: Sequence[dict[str, dict[str, Any]]]) -> str:
    """Formats a table with one row per map: means over the clips."""
    collected: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for case in found:
        for name, values in case.items():
            for key, value in values.items():
                collected[name][key].append(value)
    rows = []
    for name, values in collected.items():
        mean = {key: np.mean(each, axis=0) for key, each in values.items()}
        shares = ["", "", "", "", ""]
        if "drawn" in mean:
            correlations = " ".join(f"{each:.2f}" for each in mean["correlations"].tolist())
            shares = [correlations, f"{mean['energy_correlation']:.2f}"]
            shares += [f"{100 * mean[key]:.0f} %" for key in ("depends", "beats_random", "drawn")]
        rows.append(
            [
                name.replace("_", " "), f"{100 * mean['pointing']:.0f} %", f"{mean['inside']:.2f}",
                f"{mean['deletion']:.3f}", f"{mean['insertion']:.3f}", f"{mean['removed']:.2f}", *shares,
            ]
        )  # fmt: skip
    header = [
        "", "pointing", "inside", "deletion", "insertion", "an eighth removes", "correlation with random weights",
        "with motion energy", "depends on weights", "beats random cells", "drawn",
    ]  # fmt: skip
    return format_table(header, rows)


def main() -> None:
    """Prints the tables and optionally writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--data_dir")
    given = parser.parse_args()
    experiment, protocol, cases = collect_cases(given.run, given.clips, given.data_dir)
    view = find_view(experiment.model).name
    explained: ExplainedNetwork | None = None
    found, attention = [], {}
    for fold in sorted({case.fold for case in cases}):
        weights = read_weights(checkpoint_folder(given.run / "checkpoints", protocol, experiment.seed, fold))
        if weights is None:
            raise ConfigError(f"{given.run} has no weights of fold {fold}; finish the run with --resume")
        if explained is None:  # the programs are compiled once
            explained = explain_network(experiment.model, [weights], view, cases[0].inputs)
        explained = dataclasses.replace(explained, members=[weights])
        own = [case for case in cases if case.fold == fold]
        found += [measure(explained, case, given.draws, seed) for seed, case in enumerate(own)]
        if len(own) > 1:
            attention[fold] = compare_attention(explained, [case.inputs for case in own])
    name = type(experiment.model).__name__
    print(describe_machine())
    print(f"SURROGATE {experiment.corpus}, {name}, protocol {protocol}, {len(cases)} clips")
    print(_format(found))
    for fold, each in attention.items():
        if each.temporal_spread is None or each.spatial_correlation is None:
            continue
        means = "; ".join(f"{path} {' '.join(f'{w:.3f}' for w in ws)}" for path, ws in each.temporal_mean.items())
        print(
            f"fold {fold}, {each.clips} clips: spatial maps of two clips correlate {each.spatial_correlation:.2f}; "
            f"temporal weights {means}, largest standard deviation over clips {each.temporal_spread:.3f}"
        )
    if given.json:
        content = {"machine": describe_machine(), "provenance": "surrogate", "run": str(given.run), "clips": found}
        given.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main, on_interrupt="interrupted"))
