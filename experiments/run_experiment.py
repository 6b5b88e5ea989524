"""One run: an experiment and its options -> corpus, training, run folder, report."""

import dataclasses
import json
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from datasets.load import load_corpus
from datasets.release import find_release
from experiments.final import write_final
from experiments.pretrained import read_start
from experiments.processes import first_process_first, initialize_processes
from experiments.progress import RunProgress
from experiments.recorder import Recorder, count_folds, seconds_by_fold
from experiments.repeat import compare_predictions, read_record
from experiments.run_folder import RunFolder, check_workdir, choose_workdir, locked
from experiments.tensorboard import Curves
from experiments.timings import seconds_of_compilation, watch_compilation, write_timings
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError, NonFiniteLossError
from mer_jax.evaluation.audit import write_folds
from mer_jax.evaluation.gap import find_honest, summarize
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.evaluation.results import ProtocolResult, write_metrics
from mer_jax.native.conv_pool import start_loading
from mer_jax.protocols import check_protocols
from mer_jax.system.files import seal, user_cache_dir, write_atomically
from mer_jax.system.machine import keep_freed_memory, share_processors
from mer_jax.system.stages import record_stages, seconds_since_start, stage
from mer_jax.training.baseline import check_baseline
from mer_jax.training.pretrained import check_pretrained
from mer_jax.training.program import check_clips, check_crop, check_model, check_num_classes
from mer_jax.training.train import Results, fingerprint, is_baseline, make_plans, train

if TYPE_CHECKING:
    from datasets.facts import CorpusFacts


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How an experiment is run. Results depend on the corpus alone.

    Attributes:
        manual_dir: Folder of the licensed corpus; None takes `$MER_MANUAL_DIR`, or renders a surrogate.
        data_dir: Folder of built corpora; None takes `$MER_DATA_DIR` or `data`.
        workdir: Run folder; None chooses one under `runs/`.
        resume: Whether to continue a run.
        workers: Processes for rendering and preprocessing; None for all processors.
        jobs: See `mer_jax.train`.
        fold_parallel: See `mer_jax.train`.
        tensorboard: Whether to write curves for TensorBoard.
        keep: Whether clips whose preparation fails are used all the same.
        no_faces: Whether to keep all faces out of pictures and report.
        coordinator: HOST:PORT of process 0 where several processes train together.
        num_processes: Number of them.
        process_id: Number of this one, from 0.
        command: Command line, written into the run folder.
        final: Which model to hand on is written into the run folder: `all`, `ensemble` or `none`, see
            `experiments.final.write_final`.
        expected_fingerprint: Fingerprint that experiment and clips must have; "" for any.
    """

    manual_dir: str | os.PathLike[str] | None = None
    data_dir: str | os.PathLike[str] | None = None
    workdir: Path | None = None
    resume: bool = False
    workers: int | None = None
    jobs: int | None = None
    fold_parallel: int | None = None
    tensorboard: bool = False
    keep: bool = False
    no_faces: bool = False
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    command: tuple[str, ...] = ()
    final: str = "none"
    expected_fingerprint: str = ""


def run_experiment(experiment: Experiment, options: RunOptions) -> tuple[Path, list[ProtocolResult]]:
    """Runs an experiment from the corpus to the report.

    Args:
        experiment: Validated.
        options: How to run it.

    Returns:
        The run folder and the results; no results in processes other than the first.

    Raises:
        ConfigError: Options, experiment and data do not go together.
        CorpusError: The corpus cannot be read.
        NonFiniteLossError: After the report of all other folds is written.
    """
    start = seconds_since_start()
    prepare_process(options)
    compiled_before = seconds_of_compilation()
    with record_stages() as stages:
        workdir, written, failure = _run_stages(experiment, options)
    if written:
        protocols = {result.protocol: sum(fold.seconds for fold in result.folds) for result in written}
        compilation = seconds_of_compilation() - compiled_before
        write_timings(workdir, stages, start=start, compilation=compilation, protocols=protocols)
    if failure:
        raise failure
    return workdir, written


def _run_stages(
    experiment: Experiment, options: RunOptions
) -> tuple[Path, list[ProtocolResult], NonFiniteLossError | None]:
    check_protocols(experiment.protocols)
    if not is_baseline(experiment.model):
        check_model(experiment.model, experiment.vision.num_frames)
    elif experiment.diagnostic or options.tensorboard:
        raise ConfigError(
            f"got --diagnostic or --tensorboard with {type(experiment.model).__name__}, which has no epochs; "
            "expected neither"
        )
    else:
        check_baseline(experiment.model, experiment.vision.num_frames)
    check_crop(experiment.model, experiment.vision.crop)
    variant = find_release(experiment.corpus).find_variant(experiment.variant or None)
    check_num_classes(experiment.model, variant.scheme.class_names)
    if options.workdir:
        check_workdir(options.workdir, options.resume, experiment)
    if not is_baseline(experiment.model) and jax.default_backend() == "cpu":
        start_loading()  # the compiler works while the corpus is prepared
    with first_process_first():
        start = read_start(experiment)
        clips, facts = load_corpus(
            experiment,
            manual_dir=options.manual_dir,
            data_dir=options.data_dir,
            workers=options.workers,
            keep=options.keep,
            say=say,
        )
        check_clips(experiment.model, clips)
        pretrained = None
        if start is not None:
            if warning := start.check_people(clips):
                say(warning)
            # Last, because rendering the clips of a model takes minutes.
            pretrained = start.load(data_dir=options.data_dir, workers=options.workers, say=say)
    if pretrained is not None:
        experiment = pretrained.apply_to(experiment)
        check_pretrained(experiment, clips, pretrained)
    got, expected = fingerprint(experiment, clips), options.expected_fingerprint
    if expected and got != expected:
        raise ConfigError(
            f"experiment and data have the fingerprint {got}; expected {expected}, that of the run to repeat: the "
            "clips are not the same. Give the --manual_dir that it was made with"
        )
    workdir = options.workdir or choose_workdir(experiment, got, options.resume)
    plans = make_plans(experiment, clips)  # what is wrong with the protocols is said before a run folder is made
    with locked(workdir):
        folder = RunFolder(workdir, experiment, clips)
        config = folder.open(options.command)
        if jax.process_index() == 0:
            by_seed = {name: {experiment.seed + i: plan for i, plan in enumerate(each)} for name, each in plans.items()}
            write_folds(workdir / "folds.json", by_seed, clips)
            write_atomically(workdir / "corpus.json", json.dumps(seal(facts.to_json()), indent=1) + "\n")
        say(f"run folder: {workdir}")
        curves = Curves(workdir, clips.provenance) if options.tensorboard and jax.process_index() == 0 else None
        failure = None
        with RunProgress(count_folds(plans), experiment.epochs, clips.provenance) as progress:
            try:
                with stage("train"):
                    results = train(
                        experiment,
                        clips,
                        checkpoints=folder.checkpoints,
                        callbacks=Recorder(folder, progress, clips, plans, experiment.seed, curves),
                        jobs=options.jobs,
                        fold_parallel=options.fold_parallel,
                        pretrained=pretrained,
                    )
            except NonFiniteLossError as error:
                failure, results = error, error.results
            if failure is None and options.final != "none":
                with stage("train on all people"):
                    write_final(
                        workdir,
                        folder.checkpoints,
                        experiment,
                        clips,
                        results,
                        way=options.final,
                        pretrained=pretrained,
                        progress=progress,
                        say=say,
                    )
        if jax.process_index() != 0:  # the first process has it all
            return workdir, [], failure
        with stage("report"):
            written = write_results(folder, config, clips, facts, results, show_faces=not options.no_faces)
    return workdir, written, failure


def prepare_process(options: RunOptions) -> None:
    """Sets what holds for the whole process: allocator, other processes, signals, logging, compilation cache."""
    keep_freed_memory()  # before JAX has threads
    share_processors()
    if (options.num_processes or options.process_id) is not None and not options.coordinator:
        raise ConfigError("got --num_processes or --process_id without --coordinator; expected the three together")
    if options.coordinator:
        if not options.workdir:
            raise ConfigError("got --coordinator without --workdir; expected a folder that all processes see")
        # Before anything else asks JAX for its devices.
        initialize_processes(options.coordinator, options.num_processes, options.process_id)
    logging.getLogger("absl").setLevel(logging.ERROR)  # orbax logs every file
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's end is as good as Ctrl-C
    jax.config.update("jax_compilation_cache_dir", str(user_cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # by default 1: a run has many small programs
    watch_compilation()


def write_results(
    folder: RunFolder,
    config: Mapping,
    clips: Clips,
    facts: "CorpusFacts",
    results: Results,
    *,
    show_faces: bool = True,
) -> list[ProtocolResult]:
    """Writes predictions, metrics, pictures and the report; returns the results with the time of all calls."""
    # They bring matplotlib, which takes longer to import than the corpus to load.
    from experiments.examples import hidden_faces, pick_errors, pick_faces
    from experiments.explained import pick_explained
    from mer_jax.report.page import write_report

    history = folder.read_history()
    seconds = seconds_by_fold(history)
    folds = {
        name: tuple(
            dataclasses.replace(fold, seconds=round(seconds.get((name, fold.seed, fold.fold), fold.seconds), 2))
            for fold in each
        )
        for name, each in results.folds.items()
    }
    written = [dataclasses.replace(result, folds=folds[name]) for name, result in results.items()]
    if not written:
        return []
    write_predictions(folder.path / "predictions.csv", written)
    write_metrics(folder.path / "metrics.json", written)
    experiment = results.experiment
    honest = find_honest({result.protocol: result.scores() for result in written})
    shown = next((result for result in written if result.protocol == honest), None)
    hidden = hidden_faces(clips) if clips.kind == "faces" else {}
    report = write_report(
        folder.path,
        results=written,
        history=history,
        config=config["experiment"],
        environment={**config["environment"], "data": config["data"], "command": config["command"]},
        faces=pick_faces(clips, experiment.normalization, hidden) if show_faces else [],
        errors=pick_errors(experiment, clips, shown, folder.checkpoint_folder, hidden) if shown and show_faces else [],
        explained=pick_explained(experiment, clips, shown, folder.checkpoint_folder, hidden)
        if shown and show_faces
        else [],
        no_faces=_why_faces_are_missing(hidden) if show_faces else "No faces are shown: the run has --no_faces.",
        left_out=facts.left_out,
        repaired=facts.repaired,
        doubtful=facts.doubtful,
        facts=_name_facts(facts),
        missing=[(name, fold) for name, each in folds.items() for fold in each if fold.missing],
    )
    say(f"\n{summarize({result.protocol: result.scores() for result in written})}")
    say(f"report: {report}")
    return written


def repeat_run(original: Path, options: RunOptions) -> None:
    """Runs again what is in a run folder, and compares the predictions.

    Raises:
        ConfigError: No finished run of this version is there, or its clips are not the same.
        PredictionsDifferError: The predictions differ.
    """
    recorded = read_record(original)
    if options.resume and not options.workdir:
        raise ConfigError("got --repeat with --resume and without --workdir; expected the folder of the second run")
    if options.workdir and options.workdir.resolve() == original.resolve():
        raise ConfigError(f"got --workdir {original}, the run that is to be repeated; expected another folder")
    options = dataclasses.replace(options, expected_fingerprint=recorded.fingerprint, final="none")
    again, _ = run_experiment(recorded.experiment, options)
    if jax.process_index() == 0:  # it alone has written predictions
        say(compare_predictions(original, again))


def say(text: str) -> None:
    """Prints one line; of several processes the first one does."""
    if jax.process_index() == 0:
        print(text, flush=True)


def _why_faces_are_missing(hidden: Mapping[int, str]) -> str:
    """What the report says where faces of some or all clips are kept out by the corpus's terms."""
    reasons = sorted(set(hidden.values()))
    return f"Faces of {len(hidden)} clips are not shown: {'; '.join(reasons)}." if hidden else ""


def _name_facts(facts: "CorpusFacts") -> dict[str, dict[str, float]]:
    """Facts of the clips, by the label of an axis."""
    return {
        "movement at the apex, % of the distance between the eyes": {
            clip: each.amplitude for clip, each in facts.clips.items() if each.amplitude is not None
        },
        "frames from onset to offset": {clip: float(each.num_frames) for clip, each in facts.clips.items()},
    }
