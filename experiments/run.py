"""Runs one experiment, from the corpus to the report.

    python -m experiments.run --config smic_ha.py [--config.<field>=value ...]
        [--manual_dir DIR] [--workdir DIR] [--data_dir DIR] [--resume] [--diagnostic test_best]
    python -m experiments.run --repeat RUN [--manual_dir DIR] [--workdir DIR] [--data_dir DIR]

The second form runs again what is in a run folder, and compares the predictions; the exit code is 1 if they differ.
With a licensed corpus under --manual_dir (or MER_MANUAL_DIR) it uses that; without one
it renders a surrogate corpus, and says so in everything that it writes.
"""

import dataclasses
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
from absl import flags, logging

from datasets.build import build, default_data_dir
from experiments.collect import collect
from experiments.config_files import parse_command_line
from experiments.examples import pick_errors, pick_faces
from experiments.fit_all import Parallel, fit_all
from experiments.fit_baselines import fit_baselines
from experiments.processes import first_process_first, initialize_processes
from experiments.repeat import compare_predictions, read_record
from experiments.run_folder import RunFolder, check_workdir, choose_workdir, locked, make_fingerprint
from experiments.tensorboard import Curves
from mer_jax.cli.command import run_command
from mer_jax.config import DIAGNOSTICS, Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view, input_shapes
from mer_jax.errors import ConfigError, CorpusError, NonFiniteLossError
from mer_jax.evaluation.gap import find_honest, summarize
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.evaluation.results import ProtocolResult, write_metrics
from mer_jax.protocols import check_protocols, make_plan, refuse_copies
from mer_jax.report.page import write_report
from mer_jax.training.allocator import keep_freed_memory
from mer_jax.training.train import check_classes
from mer_jax.vision.face_model import user_cache_dir

if TYPE_CHECKING:
    from datasets.facts import ClipFacts

_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Folder of the licensed corpus; default: $MER_MANUAL_DIR.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Made of corpora; default: $MER_DATA_DIR or ./data.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; default: runs/<config>-<time>.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --workdir, or with the newest unfinished one.")
_DIAGNOSTIC = flags.DEFINE_enum(
    "diagnostic",
    None,
    [name for name in DIAGNOSTICS if name],
    "Shown beside the results, never instead: what choosing the epoch by its TEST accuracy would have shown.",
)
_REPEAT = flags.DEFINE_string("repeat", None, "Run folder to run again, from its config.json, and to compare with.")
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes for rendering and preprocessing; default: all processors.", lower_bound=1
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    None,
    "On a CPU: folds trained at the same time, each in a thread; default: one for each processor.",
    lower_bound=1,
)
_FOLD_PARALLEL = flags.DEFINE_string(
    "fold_parallel",
    "auto",
    "Folds trained at the same time as an axis of one compiled program: a number, or auto: as many as the "
    "accelerator's memory holds, and on a CPU one on each device.",
)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Write curves for TensorBoard, too (needs tensorboardX).")
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, where several processes train together, each started with the same command, its "
    "--process_id and a --workdir that all of them see.",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes, with --coordinator.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", lower_bound=0)


def say(text: str) -> None:
    """One line for the user; of several processes the first one speaks."""
    if jax.process_index() == 0:
        print(text, flush=True)


def load_corpus(experiment: Experiment) -> tuple[Clips, dict[str, "ClipFacts"]]:
    """Builds the corpus where it is not built yet; reads it as the model takes it, with what is known of each clip.

    Without a licensed corpus, the surrogate one is rendered first.

    Raises:
        CorpusError: `--manual_dir` is no such corpus.
        ConfigError: the model answers another number of classes, or motion features cannot be made of clips that are
            prepared so.
    """
    data_dir = Path(_DATA_DIR.value) if _DATA_DIR.value else default_data_dir()
    manual_dir = _MANUAL_DIR.value or os.environ.get("MER_MANUAL_DIR")
    if manual_dir:
        say(f"corpus: {experiment.corpus} in {manual_dir}")
    else:
        say(
            f"corpus: SURROGATE {experiment.corpus}. No --manual_dir and no MER_MANUAL_DIR: rendered faces stand in "
            "for the licensed recordings, and no number below says anything about them."
        )
        manual_dir = render_surrogate(experiment, data_dir)
    builder_dir = build(
        experiment.corpus,
        manual_dir,
        variant=experiment.variant or None,
        options=experiment.vision,
        data_dir=data_dir,
        workers=_WORKERS.value,
        say=say,
    )
    from datasets.facts import read_facts  # TFDS takes a second to import
    from datasets.motion import load_motion
    from datasets.read import load_clips

    if find_view(experiment.model).stored == "motion":
        clips = load_motion(builder_dir, experiment.vision, data_dir / "motion", workers=_WORKERS.value, say=say)
    else:
        clips = load_clips(builder_dir)
    check_classes(experiment.model, clips.class_names)
    absent = [name for name, count in zip(clips.class_names, clips.class_counts(), strict=True) if not count]
    if absent:
        raise CorpusError(
            f"no clip of class {', '.join(absent)} is in {manual_dir}; expected clips of all of "
            f"{', '.join(clips.class_names)}. Complete the copy, or use a config with other classes"
        )
    return clips, read_facts(builder_dir)


def is_baseline(experiment: Experiment) -> bool:
    """Whether the model is no network but one of `mer_jax.baselines`."""
    return not isinstance(experiment.model, nn.Module)


def check_model(experiment: Experiment) -> None:
    """Refuses a network that cannot take the clips, before any corpus is read."""
    if is_baseline(experiment):
        if experiment.diagnostic or _TENSORBOARD.value:
            raise ConfigError(
                f"got --diagnostic or --tensorboard with {type(experiment.model).__name__}, which has no epochs; "
                "expected neither"
            )
        return
    variables = jax.eval_shape(
        lambda *inputs: experiment.model.init(jax.random.key(0), *inputs, is_training=False),
        *input_shapes(experiment.model, experiment.vision.num_frames),
    )
    if others := set(variables) - {"params", "batch_stats"}:
        raise ConfigError(
            f"{type(experiment.model).__name__} keeps the collections {', '.join(sorted(others))}; "
            "expected params, and batch_stats at most"
        )


def render_surrogate(experiment: Experiment, data_dir: Path) -> Path:
    """Renders the surrogate corpus of an experiment, or finds it rendered."""
    from datasets.surrogate.corpus import render_corpus

    corpus = f"{experiment.corpus}-{experiment.surrogate_difficulty}-seed{experiment.surrogate_seed}"
    clips, subjects = experiment.surrogate_clips, experiment.surrogate_subjects
    folder = f"{corpus}-{clips or 'all'}x{subjects or 'all'}" if clips or subjects else corpus
    render_corpus(
        data_dir / "surrogate" / folder,
        corpus=experiment.corpus,
        difficulty=experiment.surrogate_difficulty,
        num_subjects=experiment.surrogate_subjects or None,
        num_clips=experiment.surrogate_clips or None,
        seed=experiment.surrogate_seed,
        workers=_WORKERS.value,
        log=say,
    )
    return data_dir / "surrogate" / folder


def run(
    experiment: Experiment,
    clips: Clips,
    facts: Mapping[str, "ClipFacts"],
    workdir: Path,
    argv: Sequence[str],
    parallel: Parallel,
) -> list[ProtocolResult]:
    """Runs all protocols of an experiment and writes the run folder.

    Args:
        experiment: validated.
        clips: the corpus.
        facts: of the clips, by clip id.
        workdir: made, or gone on with.
        argv: the command, to be written down.
        parallel: what is trained at the same time; results do not depend on it.

    Raises:
        ConfigError: a protocol of augmented copies, for a model that takes clips as they are.
        NonFiniteLossError: after the report of all other folds is written.
    """
    plans = {
        name: [
            make_plan(
                name,
                subjects=clips.subject,
                corpora=clips.corpus,
                labels=clips.label,
                seed=experiment.seed + seed,
                num_folds=experiment.num_folds,
                num_copies=experiment.num_copies,
            )
            for seed in range(experiment.num_seeds)
        ]
        for name in experiment.protocols
    }
    if is_baseline(experiment) or clips.kind == "motion":  # said before a run folder is made
        for each in plans.values():
            refuse_copies(each[0], type(experiment.model).__name__)
    with locked(workdir):
        folder = RunFolder(workdir, experiment, clips)
        config = folder.open(argv)
        say(f"run folder: {workdir}")
        if is_baseline(experiment):
            fits = fit_baselines(experiment, clips, plans)
        else:
            curves = Curves(workdir, clips.provenance) if _TENSORBOARD.value and jax.process_index() == 0 else None
            fits = fit_all(experiment, clips, folder, plans, parallel, curves)
        if jax.process_index() != 0:  # the first process has it all
            return []
        collected = {name: collect(experiment, clips, plans[name], fits[name]) for name in plans}
        results = [result for result in collected.values() if result]
        failed = [fit for each in fits.values() for fit in each if fit.result.probabilities is None]
        if results:
            write_predictions(workdir / "predictions.csv", results)
            write_metrics(workdir / "metrics.json", results)
            report = write_report(
                workdir,
                results=results,
                history=folder.read_history(),
                config=config["experiment"],
                environment={**config["environment"], "data": config["data"], "command": config["command"]},
                faces=pick_faces(clips, experiment.normalization),
                errors=_pick_errors(experiment, clips, results, folder),
                facts=_name_facts(facts),
                missing=[(fit.protocol, fit.summary) for fit in failed],
            )
            say(f"\n{summarize({result.protocol: result.entry for result in results})}")
            say(f"report: {report}")
    if failed:
        where = "; ".join(f"{fit.protocol} fold {fit.summary.name!r}: {fit.summary.stop_reason}" for fit in failed)
        raise NonFiniteLossError(
            f"{len(failed)} of {sum(map(len, fits.values()))} folds have no result, at learning rate "
            f"{experiment.learning_rate:g}: {where}. Lower --config.learning_rate, or set "
            "--config.class_weights=normalized or --config.optimization.clip_norm=1, in another --workdir"
        )
    return results


def _pick_errors(experiment: Experiment, clips: Clips, results: list[ProtocolResult], folder: RunFolder):
    """Of the protocol that says most about strangers; none where only copies were tested."""
    honest = find_honest({result.protocol: result.entry for result in results})
    result = next((result for result in results if result.protocol == honest), None)
    return pick_errors(experiment, clips, result, folder.checkpoint_folder) if result else []


def _name_facts(facts: Mapping[str, "ClipFacts"]) -> dict[str, dict[str, float]]:
    """What is known of the clips, by what an axis says."""
    return {
        "movement at the apex, % of the distance between the eyes": {
            clip: each.amplitude for clip, each in facts.items() if each.amplitude is not None
        },
        "frames from onset to offset": {clip: float(each.num_frames) for clip, each in facts.items()},
    }


def execute(
    experiment: Experiment, command: Sequence[str], *, fingerprint: str = ""
) -> tuple[Path, list[ProtocolResult]]:
    """Runs an experiment as the flags of the process say, from the corpus to the report.

    Args:
        experiment: validated.
        command: to be written down.
        fingerprint: that experiment and data must have; none is expected where it is empty.

    Returns:
        The run folder and the results.

    Raises:
        ConfigError: the flags, the experiment and the data do not go together.
    """
    keep_freed_memory()  # before JAX has threads
    if (_NUM_PROCESSES.value or _PROCESS_ID.value) is not None and not _COORDINATOR.value:
        raise ConfigError("got --num_processes or --process_id without --coordinator; expected the three together")
    if _COORDINATOR.value:
        if not _WORKDIR.value:
            raise ConfigError("got --coordinator without --workdir; expected a folder that all processes see")
        # Before anything else asks JAX for its devices.
        initialize_processes(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    check_protocols(experiment.protocols)
    check_model(experiment)
    logging.set_verbosity(logging.ERROR)  # orbax tells of every file
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's end is as good as Ctrl-C
    jax.config.update("jax_compilation_cache_dir", str(user_cache_dir() / "xla"))
    parallel = Parallel.from_flags(_JOBS.value, _FOLD_PARALLEL.value)
    if _WORKDIR.value:
        check_workdir(_WORKDIR.value, _RESUME.value)
    with first_process_first():
        clips, facts = load_corpus(experiment)
    got = make_fingerprint(experiment, clips)
    if fingerprint and got != fingerprint:
        raise ConfigError(
            f"experiment and data have the fingerprint {got}; expected {fingerprint}, that of the run to repeat: the "
            "clips are not the same. Give the --manual_dir that it was made with"
        )
    workdir = Path(_WORKDIR.value or choose_workdir(experiment, got, _RESUME.value))
    return workdir, run(experiment, clips, facts, workdir, command, parallel)


def main(argv: Sequence[str]) -> None:
    """The command."""
    repeats = any(argument.partition("=")[0] in ("--repeat", "-repeat") for argument in argv)
    experiment = parse_command_line(argv, needs_config=not repeats)
    command = ["python", "-m", "experiments.run", *argv[1:]]
    if not repeats:
        experiment = dataclasses.replace(experiment, diagnostic=_DIAGNOSTIC.value or experiment.diagnostic)
        execute(experiment, command)
        return
    original = Path(_REPEAT.value)
    recorded = read_record(original)
    if _DIAGNOSTIC.value or experiment:
        raise ConfigError("got --repeat with --config or --diagnostic; expected --repeat alone: it changes nothing")
    if _RESUME.value and not _WORKDIR.value:
        raise ConfigError("got --repeat with --resume and without --workdir; expected the folder of the second run")
    if _WORKDIR.value and Path(_WORKDIR.value).resolve() == original.resolve():
        raise ConfigError(f"got --workdir {original}, the run that is to be repeated; expected another folder")
    again, _ = execute(recorded.experiment, command, fingerprint=recorded.fingerprint)
    if jax.process_index() == 0:  # it alone has written predictions
        say(compare_predictions(original, again))


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv),
            on_interrupt="interrupted; the same command with --resume goes on where this one stopped",
        )
    )
