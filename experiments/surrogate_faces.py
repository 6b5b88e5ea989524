"""Makes weights of a dual-path network from nothing but rendered people.

    python -m experiments.surrogate_faces [--out DIR] [--data_dir DIR] [--people N] [--clips N] [--workers N]
        [--check DIR]

Films people who do not exist in four laboratories, trains the network four times, each time without one of them, and
tests it there; then it trains the weights that are handed on with people of all four, for the median of the epochs that
were chosen. The recipe is in experiments/configs/surrogate_ha.py. With --check the result is compared with another
folder, bit for bit; the exit code is 1 if it differs. Interrupted, the same command continues where it stopped.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from datasets.build import default_data_dir
from datasets.surrogate.face_clips import record_faces
from datasets.surrogate.recording import DomainRandomization, Recording
from experiments.surrogate_motion import compare_folders
from mer_jax.cli.command import expand_path, run_command
from mer_jax.config import Experiment
from mer_jax.evaluation import metrics
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.prediction.classifier import flatten_members
from mer_jax.prediction.model_folder import write_model
from mer_jax.prediction.trained import describe_trained
from mer_jax.training.final import median_epoch, train_on_all
from mer_jax.training.fit import Callbacks, FoldResult
from mer_jax.training.program import Lane
from mer_jax.training.train import fingerprint, train

NAME = "surrogate-ha"
PROTOCOL = "cross_corpus"  # each laboratory is tested by weights that have not seen it
# What differs from camera to camera.
RANDOMIZATION = DomainRandomization(blur_px=1.0, noise_spread=0.4, jpeg_drop=25, resolution=0.6, timing=0.08)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FacesRecipe:
    """How the clips are made.

    Attributes:
        laboratories: That teach, and of which each is left out once.
        people: In each of them.
        clips_each: Of each person.
        difficulty: Of all recordings.
        seed: Of all recordings.
        slowest: See `record_faces`.
        randomization: What differs from camera to camera.
    """

    laboratories: Sequence[str] = ("smic", "casme2", "samm", "casme_squared")
    people: int = 12
    clips_each: int = 6
    difficulty: str = "real"
    seed: int = 41
    slowest: float = 0.4
    randomization: DomainRandomization = RANDOMIZATION

    def recordings(self) -> list[Recording]:
        """One recording of each laboratory."""
        return [
            Recording(
                laboratory=laboratory,
                people=self.people,
                clips_each=self.clips_each,
                difficulty=self.difficulty,
                seed=self.seed,
                randomization=self.randomization,
            )
            for laboratory in self.laboratories
        ]


class _Said(Callbacks):
    """Says when a training is done."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say

    def on_result(self, lane: Lane, result: FoldResult) -> None:
        left_out = "on all laboratories" if lane.protocol == "final" else f"without {lane.name}"
        self._say(f"SURROGATE trained {left_out}: {result.epochs} epochs, {result.seconds:.0f} s")


def teach(
    experiment: Experiment,
    recipe: FacesRecipe,
    out: Path,
    data_dir: Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> ProtocolResult:
    """Makes the weights and writes them as a model folder.

    Args:
        experiment: Network, preparation and training; its corpus and protocols are not used.
        recipe: How the clips are made.
        out: Where to.
        data_dir: Where recordings and checkpoints are kept.
        workers: Processes that render; None takes the processors at hand.
        say: Called with a line of progress.

    Returns:
        The answers about each laboratory, by weights that were trained without it.

    Raises:
        ConfigError: The recipe names what is not there.
        CorpusError: The disk is full.
    """
    clips = record_faces(
        recipe.recordings(),
        data_dir / "faces",
        options=experiment.vision,
        slowest=recipe.slowest,
        workers=workers,
        say=say,
    )
    experiment = dataclasses.replace(experiment, name=NAME, corpus="", protocols=(PROTOCOL,))
    checkpoints = data_dir / "training" / fingerprint(experiment, clips)
    results = train(experiment, clips, checkpoints=checkpoints, callbacks=_Said(say))
    result, epochs = results[PROTOCOL], median_epoch(results.folds[PROTOCOL])
    weights = train_on_all(experiment, clips, epochs=epochs, checkpoints=checkpoints, callbacks=_Said(say))
    description = describe_trained(
        experiment,
        clips,
        result,
        method="trained on rendered people of all laboratories, for the median of the epochs that were chosen where "
        "one of them was left out",
        epochs=epochs,
    )
    faces = "none of a person: no recording, picture or label of a person was used to train, choose or calibrate"
    recipe_fields = {name: str(value) for name, value in dataclasses.asdict(recipe).items()}
    training = {**description.training, "faces": faces, "recipe": recipe_fields}
    write_model(out, dataclasses.replace(description, training=training), flatten_members([weights]))
    return result


def describe_result(result: ProtocolResult) -> str:
    """Scores on each laboratory that was left out, and on all of them together, as a table."""
    scores = result.scores()
    interval = scores["intervals"]["uf1"]
    lines = [
        "SURROGATE: rendered people",
        "",
        "| laboratory left out | clips | UF1 | UAR | accuracy |",
        "|---|---|---|---|---|",
    ]
    assert result.probabilities is not None
    predicted, corpora = result.probabilities.argmax(axis=1), np.asarray(result.corpora)
    for corpus in dict.fromkeys(result.corpora):
        own = corpora == corpus
        confusion = metrics.confusion_matrix(result.true[own], predicted[own], len(result.class_names))
        shown = " | ".join(f"{score(confusion):.3f}" for score in (metrics.uf1, metrics.uar, metrics.accuracy))
        lines.append(f"| {corpus} | {own.sum()} | {shown} |")
    shown = " | ".join(f"{scores[name]:.3f}" for name in ("uf1", "uar", "accuracy"))
    lines.append(f"| each of them | {len(predicted)} | {shown} |")
    shown = f"{interval['low']:.3f} to {interval['high']:.3f}"
    lines += ["", f"UF1 of all: 95 % over people {shown}; guessing {scores['chance']['uf1']:.3f}"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    from experiments.configs.surrogate_ha import RECIPE, get_config

    parser = argparse.ArgumentParser(
        prog="python -m experiments.surrogate_faces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=expand_path, help=f"folder of the model (default: <data_dir>/{NAME})")
    parser.add_argument("--data_dir", type=expand_path, help="where recordings are kept (default: $MER_DATA_DIR, data)")
    parser.add_argument("--people", type=int, help=f"in each laboratory (default: {RECIPE.people})")
    parser.add_argument("--clips", type=int, help=f"of each person (default: {RECIPE.clips_each})")
    parser.add_argument("--workers", type=int, help="processes (default: one for each processor)")
    parser.add_argument("--check", type=expand_path, help="folder to compare the result with, bit for bit")
    options = parser.parse_args(arguments)
    data_dir = options.data_dir or default_data_dir()
    changed = {"people": options.people, "clips_each": options.clips}
    recipe = dataclasses.replace(RECIPE, **{name: value for name, value in changed.items() if value is not None})
    out = options.out or data_dir / NAME
    print(describe_result(teach(get_config(), recipe, out, data_dir, workers=options.workers)))
    print(f"model: {out}")
    if options.check:
        compare_folders(out, options.check)
        print(f"the same as {options.check}, bit for bit")


if __name__ == "__main__":
    sys.exit(run_command(main, on_interrupt="interrupted; the same command continues where it stopped"))
