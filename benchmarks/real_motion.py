"""What are the shipped weights worth on motion features that somebody else has, of real people for instance?

    python -m benchmarks.real_motion --features DIR [--json FILE]
    python -m benchmarks.real_motion --manual_dir DIR [--data_dir DIR] [--json FILE]
    python -m benchmarks.real_motion [--people 6] [--clips 6] [--seed 97] [--json FILE]

--features reads prepared features of the MEGC 2019 composite, <corpus>/<subject>/<clip>.png and a label csv;
--manual_dir prepares licensed copies of the three corpora by our own pipeline; without either, rendered people of a
laboratory that taught nothing stand in, written and read in the encoding of published features.

The first row is the one to report: the weights as shipped, and the box from geometry alone. Below it the same weights
after the box was aligned by where faces move, without a label; and the same classifier trained on these people under
LOSO, alone and pulled towards the shipped weights. Scores are over all clips, intervals of 95 % over people.
docs/surrogate_motion.md says how to read them.
"""

import functools
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import make_parser, report
from datasets.build import default_data_dir
from datasets.load import load_corpus
from datasets.megc2019.prepared import load_prepared, write_prepared
from datasets.surrogate.motion_clips import record_motion
from datasets.surrogate.recording import Recording
from experiments.config_files import find_config, load_config
from experiments.surrogate_motion import NAME, RECIPE_CONFIG, STRANGER, fit_mirrored, make_result, mirrored_features
from mer_jax.baselines import StandardFlow
from mer_jax.baselines.logistic import predict_logistic
from mer_jax.baselines.transfer import Linear, pull_weights
from mer_jax.cli.command import expand_path, run_command
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.evaluation import metrics
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.prediction.alignment import align, find_box, measure_activity, read_activity
from mer_jax.prediction.model import TrainedModel, load
from mer_jax.prediction.model_folder import read_model
from mer_jax.training.pretrained import people_of

FEWEST_PEOPLE = 3


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--features", type=expand_path, help="folder of prepared motion features")
    parser.add_argument("--manual_dir", type=expand_path, help="folder of the licensed corpora")
    parser.add_argument("--data_dir", type=expand_path, default=default_data_dir(), help="where built corpora are kept")
    parser.add_argument("--model", default=NAME, help=f"model folder, or a shipped model (default: {NAME})")
    parser.add_argument("--people", type=int, default=40, help="rendered people that stand in (default: 40)")
    parser.add_argument("--clips", type=int, default=9, help="clips of each of them (default: 9)")
    parser.add_argument("--seed", type=int, default=97, help="of rendered people (default: 97)")
    arguments = parser.parse_args()
    if arguments.features and arguments.manual_dir:
        raise ConfigError("got --features and --manual_dir; expected one of them")
    model = load(arguments.model)
    if (got := model.description.architecture["class"]) != StandardFlow.__name__:
        raise ConfigError(f"the model {model.description.name} is a {got}; expected a StandardFlow, such as {NAME}")
    if arguments.features:
        clips = load_prepared(arguments.features)
    elif arguments.manual_dir:
        experiment = load_config(find_config(RECIPE_CONFIG))
        clips, _ = load_corpus(experiment, manual_dir=arguments.manual_dir, data_dir=arguments.data_dir)
    else:
        clips = _render(arguments.people, arguments.clips, arguments.seed, arguments.data_dir)
    check_people(clips)
    box = find_box(measure_activity(clips.pictures), read_activity(model.folder or Path()))
    aligned = align(clips.pictures, box) if box.is_moved else clips.pictures
    results = {
        "shipped weights, box as it is": make_result(clips, model.probabilities(clips.pictures), "cross_corpus"),
        "shipped weights, box aligned": make_result(clips, model.probabilities(aligned), "cross_corpus"),
        "trained on these people, LOSO": make_result(clips, leave_people_out(model, clips), "loso"),
        "pulled towards the shipped weights, LOSO": make_result(clips, leave_people_out(model, clips, True), "loso"),
    }
    rows = [row for name, result in results.items() for row in _make_rows(name, result)]
    surrogate = "SURROGATE: rendered people; " if clips.provenance == "surrogate" else ""
    notes = [
        f"{surrogate}{len(clips)} clips of {clips.num_subjects} people, "
        f"{', '.join(f'{n} {name}' for n, name in zip(clips.class_counts(), clips.class_names, strict=True))}",
        f"box: {box}",
        *(f"{name}: confusion (rows are true) {_confusion(result).tolist()}" for name, result in results.items()),
    ]
    report(rows, arguments.json, notes=notes, model=model.description.name, provenance=clips.provenance)


def check_people(clips: Clips) -> None:
    """Refuses clips whose scores would say nothing.

    Raises:
        CorpusError: Fewer than three people, or a class without clips.
    """
    if clips.num_subjects < FEWEST_PEOPLE:
        raise CorpusError(
            f"got clips of {clips.num_subjects} people; expected {FEWEST_PEOPLE} or more: intervals are over people"
        )
    absent = [name for name, count in zip(clips.class_names, clips.class_counts(), strict=True) if not count]
    if absent:
        raise CorpusError(f"got no clip of class {', '.join(absent)}; expected clips of all three")


def leave_people_out(model: TrainedModel, clips: Clips, is_pretrained: bool = False) -> np.ndarray:
    """Probabilities of the model's own classifier, trained on all other people of these clips.

    Args:
        model: Whose classifier.
        clips: In the order of people.
        is_pretrained: Whether weights are pulled towards the model's, as `--pretrained` does.
    """
    fields = {name: value for name, value in model.description.architecture.items() if name != "class"}
    classifier = StandardFlow(**fields)
    people, probabilities = np.asarray(clips.subject), np.empty((len(clips), len(clips.class_names)))
    for person in np.unique(people):
        own = people == person
        others = clips.select(np.flatnonzero(~own))
        linear = _pull(classifier, model, others) if is_pretrained else fit_mirrored(classifier, others)
        probabilities[own] = predict_logistic(classifier.features(clips.pictures[own]), *linear)
    return probabilities


def _pull(classifier: StandardFlow, model: TrainedModel, clips: Clips) -> Linear:
    """Weights pulled towards the model's, fitted to clips and their mirror images."""
    _, arrays = read_model(model.folder or Path())
    features, labels = mirrored_features(classifier, clips)
    start = arrays["0/weights"], arrays["0/bias"]
    linear, _ = pull_weights(features, labels, people_of(clips) * 2, start, num_classes=classifier.num_classes)
    return linear


def _render(people: int, clips_each: int, seed: int, data_dir: Path) -> Clips:
    """Renders people, writes their features in the published encoding and layout, and reads them back."""
    recording = Recording(
        laboratory="casme_squared", people=people, clips_each=clips_each, seed=seed, randomization=STRANGER
    )
    clips = record_motion([recording], data_dir / "motion", say=functools.partial(print, file=sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        corpora = ("smic",) * len(clips)  # the layout has three names; the laboratory is none of them
        named = Clips.from_arrays(
            clips.pictures, clips.label, clips.subject, class_names=clips.class_names, clip_ids=clips.clip_id,
            corpora=corpora, corpus_name="rendered", provenance="surrogate",
        )  # fmt: skip
        return load_prepared(write_prepared(named, Path(folder)))


def _make_rows(name: str, result: ProtocolResult) -> list[dict[str, object]]:
    scores = result.scores()
    rows = [{"clips of": "all", "classifier": name, **_shown(scores)}]
    for corpus in sorted(set(result.corpora)) if len(set(result.corpora)) > 1 else ():
        own = np.asarray(result.corpora) == corpus
        assert result.probabilities is not None
        confusion = metrics.confusion_matrix(result.true[own], result.probabilities[own].argmax(1), 3)
        part = {"uf1": float(metrics.uf1(confusion)), "uar": float(metrics.uar(confusion)),
                "accuracy": float(metrics.accuracy(confusion))}  # fmt: skip
        rows.append({"clips of": corpus, "classifier": name, **_shown(part)})
    return rows


def _shown(scores: dict) -> dict[str, str]:
    shown = {"UF1": f"{scores['uf1']:.3f}", "UAR": f"{scores['uar']:.3f}", "accuracy": f"{scores['accuracy']:.3f}"}
    interval = (scores.get("intervals") or {}).get("uf1")
    shown["UF1, 95 %"] = f"{interval['low']:.3f} to {interval['high']:.3f}" if interval else ""
    return shown


def _confusion(result: ProtocolResult) -> np.ndarray:
    assert result.probabilities is not None
    return metrics.confusion_matrix(result.true, result.probabilities.argmax(1), len(result.class_names))


if __name__ == "__main__":
    sys.exit(run_command(main, on_interrupt="interrupted; nothing was written"))
