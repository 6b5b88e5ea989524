"""How often do 95 % intervals contain the true accuracy, UF1 and UAR if few people are tested?

    python -m benchmarks.coverage [--samples 1000] [--draws 400] [--seed 0] [--json FILE]
    python -m benchmarks.coverage --few [--samples 1000]

Simulates tested people with as many clips as the people of SMIC (16 people), SAMM (28) and the composite of MEGC 2019
(68) have. Each person has a skill of their own: the intraclass correlation (ICC) of correct predictions within people
is 0 to .10, the mean accuracy .60 to .95. The true value of a score is that of the expected counts. Three populations:

* `beta`: skills from a beta distribution; all people have the same shares of classes, all classes are equally hard;
* `classes`: in addition, shares of classes differ between people, the largest class is easier, and errors favour it;
* `logistic`: skills whose logit is normal; shares of classes differ between people.

Prints for each kind of interval and each score the lowest and the mean coverage over the grid, the mean width, and
where the coverage was lowest. `--few` prints the same for `people_intervals` with 2 to 12 people.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

from benchmarks.timing import make_parser, report
from datasets.surrogate import casme2, samm, smic
from mer_jax.evaluation.intervals import people_intervals, wilson_interval
from mer_jax.evaluation.results import STATISTICS

SMIC = tuple(smic.SUBJECT_COUNTS.values())
SAMM = tuple(count for name, count in samm.SUBJECT_COUNTS.items() if name != "025")  # without a three-class clip
# In MEGC 2019, 24 people of CASME II have 145 clips; about 4 of 7 of all.
CASME2 = tuple(max(1, round(count * 145 / 255)) for name, count in casme2.SUBJECT_COUNTS.items() if name not in
               ("sub10", "sub18"))  # fmt: skip
PEOPLE = {"16": (SMIC, (70, 51, 43)), "28": (SAMM, (92, 26, 15)), "68": (SMIC + CASME2 + SAMM, (250, 109, 83))}
FEW = (2, 3, 4, 6, 8, 12)
ICCS, ACCURACIES = (0.0, 0.05, 0.10), (0.60, 0.70, 0.80, 0.90, 0.95)
POPULATIONS = ("beta", "classes", "logistic")
CONCENTRATION = 4.0  # of the Dirichlet distribution of a person's shares of classes
TAIL = 0.975  # of intervals of 95 %

Bounds = tuple[float, float]
Method = Callable[[Int[np.ndarray, "s k k"], np.random.Generator, int], dict[str, Bounds]]


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    sizes: tuple[int, ...]  # clips of each person
    shares: tuple[int, ...]  # of the classes, up to a factor
    population: str
    icc: float
    accuracy: float

    def describe(self) -> str:
        """Population, ICC and accuracy."""
        return f"{self.population}, {self.icc:.2f}, {self.accuracy:.2f}"


def draw_people(cell: Cell, rng: np.random.Generator) -> Int[np.ndarray, "s k k"]:
    """Draws confusion matrices of people."""
    shares, recall = np.array(cell.shares) / sum(cell.shares), _recalls(cell)
    own = np.tile(shares, (len(cell.sizes), 1))
    if cell.population != "beta":
        own = rng.dirichlet(CONCENTRATION * shares, len(cell.sizes))
    items = rng.multinomial(cell.sizes, own)
    chance = _draw_skill(cell, recall, rng)
    counts = np.zeros((*items.shape, len(shares)), int)
    for true, errors in enumerate(_errors(cell)):
        right = rng.binomial(items[:, true], chance[:, true])
        counts[:, true] = rng.multinomial(items[:, true] - right, errors)
        counts[:, true, true] = right
    return counts


def expected_counts(cell: Cell) -> Float[np.ndarray, "k k"]:
    """Expected counts of one clip."""
    shares, recall = np.array(cell.shares) / sum(cell.shares), _recalls(cell)
    return shares[:, None] * (np.diag(recall) + (1 - recall)[:, None] * _errors(cell))


def use_wilson(counts: np.ndarray, rng: np.random.Generator, draws: int) -> dict[str, Bounds]:
    """Wilson's interval over clips, of the accuracy alone."""
    total = counts.sum(0)
    interval = wilson_interval(float(np.trace(total) / total.sum()), int(total.sum()))
    return {"accuracy": (interval.low, interval.high)}


def use_people_intervals(counts: np.ndarray, rng: np.random.Generator, draws: int) -> dict[str, Bounds]:
    """The interval of the library."""
    return {name: (each.low, each.high) for name, each in people_intervals(counts, STATISTICS).items()}


def use_logit(counts: np.ndarray, rng: np.random.Generator, draws: int) -> dict[str, Bounds]:
    """Student's t on the logit scale with n - 1 degrees of freedom; variance by the jackknife over people."""
    total, bounds = counts.sum(0), {}
    for name, function in STATISTICS.items():
        score = float(np.clip(function(total), 1e-6, 1 - 1e-6))
        half = stdtrit(len(counts) - 1, TAIL) * np.sqrt(_jackknife(function, counts)) / (score * (1 - score))
        bounds[name] = (float(expit(logit(score) - half)), float(expit(logit(score) + half)))
    return bounds


def use_effective_wilson(counts: np.ndarray, rng: np.random.Generator, draws: int) -> dict[str, Bounds]:
    """Wilson's interval with an effective number of clips and Student's t with n - 1 degrees of freedom."""
    total, bounds = counts.sum(0), {}
    for name, function in STATISTICS.items():
        score = float(function(total))
        variance = max(_jackknife(function, counts), 1e-9)
        interval = wilson_interval(score, max(1, round(score * (1 - score) / variance)), level=_level(len(counts)))
        bounds[name] = (interval.low, interval.high)
    return bounds


def use_bootstrap(counts: np.ndarray, rng: np.random.Generator, draws: int) -> dict[str, dict[str, Bounds]]:
    """Four bootstraps over people from the same draws: percentile, BCa, studentised, and wild with signs of people."""
    people, classes = counts.shape[:2]
    flat, total = counts.reshape(people, -1).astype(float), counts.sum(0)
    weights = rng.multinomial(people, np.full(people, 1 / people), size=draws).astype(float)
    sums = (weights @ flat).reshape(-1, classes, classes)
    signs = rng.choice([-1.0, 1.0], (draws, people))
    bounds: dict[str, dict[str, Bounds]] = {kind: {} for kind in ("percentile", "BCa", "bootstrap-t", "wild")}
    for name, function in STATISTICS.items():
        score, values = float(function(total)), np.asarray(function(sums))
        bounds["percentile"][name] = _percentiles(values, 1 - TAIL, TAIL)
        bounds["BCa"][name] = _bca(function, counts, score, values)
        parts = _slopes(function, total).ravel() @ flat.T  # each person's contribution to the score
        error = np.sqrt((parts**2).sum() * people / (people - 1))
        own = np.einsum("dc,sc->ds", _slopes(function, sums).reshape(draws, -1), flat)
        errors = np.sqrt((weights * own**2).sum(1) * people / (people - 1))
        low, high = _percentiles((values - score) / np.maximum(errors, 1e-6), 1 - TAIL, TAIL)
        bounds["bootstrap-t"][name] = _clip(score - high * error, score - low * error)
        wild = signs * parts
        low, high = _percentiles(wild.sum(1) / np.maximum(_spread(wild), 1e-6), 1 - TAIL, TAIL)
        bounds["wild"][name] = _clip(score - high * error, score - low * error)
    return bounds


METHODS: Mapping[str, Method] = {
    "Wilson over clips": use_wilson,
    "logit t, n - 1": use_logit,
    "effective-sample Wilson t, n - 1": use_effective_wilson,
    "people_intervals": use_people_intervals,
}
BOOTSTRAPS = {
    "percentile": "percentile bootstrap over people",
    "BCa": "BCa bootstrap over people",
    "bootstrap-t": "bootstrap-t over people",
    "wild": "wild bootstrap-t over people",
}


def measure(
    cell: Cell, *, samples: int, draws: int, seed: int, methods: Mapping[str, Method] = METHODS
) -> dict[tuple, list[Bounds]]:
    """Bounds of each sample, by kind of interval and score; with bootstraps if there are draws."""
    rng, found = np.random.default_rng(seed), {}
    for _ in range(samples):
        counts = draw_people(cell, rng)
        made = {name: method(counts, rng, draws) for name, method in methods.items()}
        if draws:
            made |= {BOOTSTRAPS[kind]: each for kind, each in use_bootstrap(counts, rng, draws).items()}
        for (kind, bounds), score in itertools.product(made.items(), STATISTICS):
            if score in bounds:
                found.setdefault((kind, score), []).append(bounds[score])
    return found


def summarize_cells(cells: list[Cell], label: str, **options: Any) -> list[dict[str, Any]]:
    """A row of the table for each kind of interval and score."""
    covered: dict[tuple, list[tuple[float, float, str]]] = {}
    for number, cell in enumerate(cells):
        found = measure(cell, **options | {"seed": options["seed"] + 1000 * number})
        for (kind, score), bounds in found.items():
            low, high = np.nan_to_num(np.array(bounds), nan=0.5).T
            truth = float(STATISTICS[score](expected_counts(cell)))
            holds = (low <= truth) & (truth <= high)
            each = (float(holds.mean()), float((high - low).mean()), cell.describe())
            covered.setdefault((kind, score), []).append(each)
    return [
        {
            "people": label,
            "interval": kind,
            "score": score,
            "lowest coverage": f"{min(each)[0]:.3f}",
            "mean": f"{np.mean([coverage for coverage, _, _ in each]):.3f}",
            "mean width": f"{np.mean([width for _, width, _ in each]):.3f}",
            "lowest at (population, ICC, accuracy)": min(each)[2],
        }
        for (kind, score), each in covered.items()
    ]


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="samples at each point of the grid (%(default)s)")
    parser.add_argument("--draws", type=int, default=400, help="of each bootstrap; 0 leaves them out (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    parser.add_argument("--few", action="store_true", help="people_intervals for 2 to 12 people")
    arguments = parser.parse_args()
    options = {"samples": arguments.samples, "draws": arguments.draws, "seed": arguments.seed}
    rows = []
    if arguments.few:
        rng = np.random.default_rng(arguments.seed)
        for number in FEW:
            cells = [
                Cell(tuple(rng.permutation(sizes)[:number].tolist()), (70, 51, 43), *point)
                for sizes in (SMIC, SAMM)
                for point in itertools.product(POPULATIONS, ICCS, ACCURACIES)
            ]
            ours = {"people_intervals": use_people_intervals}
            rows += summarize_cells(cells, str(number), **options | {"draws": 0}, methods=ours)
    else:
        for label, corpus in PEOPLE.items():
            cells = [Cell(*corpus, *point) for point in itertools.product(POPULATIONS, ICCS, ACCURACIES)]
            rows += summarize_cells(cells, label, **options)
    report(rows, arguments.json, notes=[f"{arguments.samples} samples at each of {len(cells)} points"], **options)


def _recalls(cell: Cell) -> Float[np.ndarray, "k"]:
    """Mean recall of each class; the mean over items is the accuracy."""
    shares = np.array(cell.shares) / sum(cell.shares)
    if cell.population != "classes":
        return np.full(len(shares), cell.accuracy)
    easy = cell.accuracy + (1 - cell.accuracy) / 2
    return np.array([easy, *[(cell.accuracy - shares[0] * easy) / (1 - shares[0])] * (len(shares) - 1)])


def _errors(cell: Cell) -> Float[np.ndarray, "k k"]:
    """Shares of the wrong classes among the errors of each class."""
    if cell.population == "classes":
        return np.array([[0, 0.5, 0.5], [0.8, 0, 0.2], [0.8, 0.2, 0]])
    return (1 - np.eye(len(cell.shares))) / (len(cell.shares) - 1)


def _draw_skill(cell: Cell, recall: Float[np.ndarray, "k"], rng: np.random.Generator) -> Float[np.ndarray, "s k"]:
    """Each person's probability of a correct prediction, by class."""
    people = len(cell.sizes)
    if not cell.icc:
        return np.tile(recall, (people, 1))
    if cell.population == "logistic":
        mean, spread = _fit_logistic(cell.accuracy, cell.icc)
        return np.repeat(expit(rng.normal(mean, spread, (people, 1))), len(recall), axis=1)
    size = (1 - cell.icc) / cell.icc
    skill = rng.beta(cell.accuracy * size, (1 - cell.accuracy) * size, (people, 1))
    # A class that is easier or harder than the mean is so for everybody.
    ratio = np.where(recall > cell.accuracy, (1 - recall) / (1 - cell.accuracy), recall / cell.accuracy)
    return np.where(recall > cell.accuracy, 1 - (1 - skill) * ratio, skill * ratio)


@functools.cache
def _fit_logistic(accuracy: float, icc: float) -> tuple[float, float]:
    """Mean and spread of normal logits with this mean probability and intraclass correlation."""
    points, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()

    def find_mean(spread: float) -> float:
        return float(brentq(lambda mean: weights @ expit(mean + spread * points) - accuracy, -20, 20))

    def excess(spread: float) -> float:
        squares = (expit(find_mean(spread) + spread * points) - accuracy) ** 2
        return float(weights @ squares) - icc * accuracy * (1 - accuracy)

    spread = float(brentq(excess, 1e-3, 8))
    return find_mean(spread), spread


def _jackknife(function: Callable[[np.ndarray], Any], counts: np.ndarray) -> float:
    people, total = len(counts), counts.sum(0)
    changes = np.nan_to_num(function(total - counts) - function(total))
    return float((changes**2).sum() * (people - 1) / people)


def _slopes(function: Callable[[np.ndarray], Any], totals: np.ndarray) -> np.ndarray:
    """Derivatives of a score by each count, at totals `[*b k k]`."""
    classes, step = totals.shape[-1], 0.01
    moves = step * np.eye(classes**2).reshape(-1, classes, classes)
    wide = totals[..., None, :, :]
    slopes = (function(wide + moves) - function(np.maximum(wide - moves, 0))) / (2 * step)
    present = totals.sum(-1, keepdims=True) > 0
    return np.nan_to_num(np.where(present, slopes.reshape(totals.shape), 0.0))


def _bca(function: Callable[[np.ndarray], Any], counts: np.ndarray, score: float, values: np.ndarray) -> Bounds:
    """Efron's bias-corrected and accelerated percentiles."""
    left_out = np.nan_to_num(function(counts.sum(0) - counts), nan=score)
    skew = left_out.mean() - left_out
    power = (skew**2).sum() ** 1.5
    acceleration = (skew**3).sum() / (6 * power) if power else 0.0
    below = np.clip(np.mean(values < score) + np.mean(values == score) / 2, 1e-3, 1 - 1e-3)
    bias = ndtri(below)
    ends = []
    for quantile in (ndtri(1 - TAIL), ndtri(TAIL)):
        moved = bias + (bias + quantile) / (1 - acceleration * (bias + quantile))
        ends.append(float(ndtr(moved)))
    return _percentiles(values, *ends)


def _spread(contributions: np.ndarray) -> np.ndarray:
    """Standard error of sums of contributions [d s], centred in each draw."""
    people = contributions.shape[1]
    centred = contributions - contributions.mean(1, keepdims=True)
    return np.sqrt((centred**2).sum(1) * people / (people - 1))


def _percentiles(values: np.ndarray, low: float, high: float) -> Bounds:
    ends = np.percentile(values, [100 * low, 100 * high])
    return float(ends[0]), float(ends[1])


def _clip(low: float, high: float) -> Bounds:
    return max(0.0, low), min(1.0, high)


def _level(people: int) -> float:
    """The level at which a normal quantile equals that of Student's t."""
    quantile = float(stdtrit(people - 1, TAIL))
    return float(2 * ndtr(quantile) - 1)


if __name__ == "__main__":
    main()
