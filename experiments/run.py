"""Runs one experiment, from the corpus to the report.

    python -m experiments.run --config smic_ha.py [--config.<field>=value ...]
        [--manual_dir DIR] [--workdir DIR] [--data_dir DIR] [--resume]

With a licensed corpus under --manual_dir (or MER_MANUAL_DIR) it uses that; without one
it renders a surrogate corpus, and says so in everything that it writes.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging

from datasets.build import build, default_data_dir
from experiments.config_files import parse_command_line
from experiments.fit_all import Fit, Parallel, fit_all
from experiments.processes import first_process_first, initialize_processes
from experiments.run_folder import RunFolder, check_workdir, choose_workdir, locked, make_fingerprint
from experiments.tensorboard import Curves
from mer_jax.clips import Clips, FlowFeatures
from mer_jax.config import Experiment
from mer_jax.errors import ConfigError, CorpusError, NonFiniteLossError, run_command
from mer_jax.inputs import input_kind, input_shapes, make_inputs
from mer_jax.protocols import Plan, audit, check_protocols, make_plan
from mer_jax.report.figures import FaceExample
from mer_jax.report.gap import summarize
from mer_jax.report.page import write_report
from mer_jax.report.results import ProtocolResult, write_metrics, write_predictions
from mer_jax.vision.face_model import user_cache_dir

_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Folder of the licensed corpus; default: $MER_MANUAL_DIR.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Made of corpora; default: $MER_DATA_DIR or ./data.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; default: runs/<config>-<time>.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --workdir, or with the newest unfinished one.")
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


def load_corpus(experiment: Experiment) -> Clips | FlowFeatures:
    """Builds the corpus where it is not built yet, and reads it, as the model takes it.

    Without a licensed corpus, the surrogate one is rendered first.

    Raises:
        CorpusError: `--manual_dir` is no such corpus, or has other classes than the model.
        ConfigError: motion features cannot be made of clips that are prepared so.
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
    from datasets.motion import load_motion  # TFDS takes a second to import
    from datasets.read import load_clips

    if input_kind(experiment.model) == "motion":
        clips = load_motion(builder_dir, experiment.vision, data_dir / "motion", workers=_WORKERS.value, say=say)
    else:
        clips = load_clips(builder_dir)
    classes = experiment.model.num_classes
    if classes != len(clips.class_names):
        raise CorpusError(
            f"the corpus has the classes {', '.join(clips.class_names)}, the model answers {classes}; "
            f"set --config.model.num_classes={len(clips.class_names)}"
        )
    absent = [name for name, count in zip(clips.class_names, clips.class_counts(), strict=True) if not count]
    if absent:
        raise CorpusError(
            f"no clip of class {', '.join(absent)} is in {manual_dir}; expected clips of all of "
            f"{', '.join(clips.class_names)}. Complete the copy, or use a config with other classes"
        )
    return clips


def check_model(experiment: Experiment) -> None:
    """Refuses a model that cannot take the clips, before any corpus is read."""
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


def collect(
    experiment: Experiment, clips: Clips | FlowFeatures, plans: Sequence[Plan], fits: Sequence[Fit]
) -> ProtocolResult | None:
    """Joins the folds of one protocol over all seeds; None where none has a finite loss.

    Args:
        experiment: validated.
        clips: the corpus.
        plans: of the protocol, one for each seed.
        fits: of its folds; those whose loss was not finite tested nothing, and are in `folds` with their reason.
    """
    tested = [fit for fit in fits if fit.result.probabilities is not None]
    if not tested:
        return None
    parts = [(plans[fit.summary.seed - experiment.seed], fit.result.item) for fit in tested]
    clip = np.concatenate([plan.clip[item] for plan, item in parts])
    sizes = [len(item) for _, item in parts]
    return ProtocolResult(
        protocol=plans[0].protocol,
        corpus=experiment.corpus,
        provenance=clips.provenance,
        clip_id=tuple(clips.clip_id[i] for i in clip),
        subject=tuple(clips.subject[i] for i in clip),
        fold=np.repeat([fit.summary.fold for fit in tested], sizes),
        copy=np.concatenate([plan.copy[item] for plan, item in parts]),
        seed=np.repeat([fit.summary.seed for fit in tested], sizes),
        true=clips.label[clip].astype(int),
        probabilities=np.concatenate([fit.result.probabilities for fit in tested]).astype(np.float64),
        class_names=clips.class_names,
        model=type(experiment.model).__name__,
        description=plans[0].description,
        audit=audit(plans[0], clips.subject),
        folds=tuple(fit.summary for fit in fits),
    )


def pick_faces(clips: Clips | FlowFeatures, normalization: str) -> list[FaceExample]:
    """The first clip of each class, as stored and as the network is fed it; none where no faces are fed."""
    examples = []
    if isinstance(clips, FlowFeatures):
        return examples
    for label, class_name in enumerate(clips.class_names):
        index = int(np.flatnonzero(clips.label == label)[0])
        faces = jnp.asarray(clips.select([index]).faces()[0], jnp.float32)
        fed_upper, fed_lower = make_inputs(faces, normalization)
        examples.append(
            FaceExample(
                class_name=class_name,
                clip_id=clips.clip_id[index],
                subject=clips.subject[index],
                upper=clips.upper[index],
                lower=clips.lower[index],
                fed_upper=np.asarray(fed_upper),
                fed_lower=np.asarray(fed_lower),
            )
        )
    return examples


def run(
    experiment: Experiment, clips: Clips | FlowFeatures, workdir: Path, argv: Sequence[str], parallel: Parallel
) -> list[ProtocolResult]:
    """Runs all protocols of an experiment and writes the run folder.

    Args:
        experiment: validated.
        clips: the corpus.
        workdir: made, or gone on with.
        argv: the command, to be written down.
        parallel: what is trained at the same time; results do not depend on it.

    Raises:
        NonFiniteLossError: after the report of all other folds is written.
    """
    plans = {
        name: [
            make_plan(
                name,
                subjects=clips.subject,
                labels=clips.label,
                seed=experiment.seed + seed,
                num_folds=experiment.num_folds,
                num_copies=experiment.num_copies,
            )
            for seed in range(experiment.num_seeds)
        ]
        for name in experiment.protocols
    }
    with locked(workdir):
        folder = RunFolder(workdir, experiment, clips)
        config = folder.open(argv)
        say(f"run folder: {workdir}")
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
            )
            say(f"\n{summarize({result.protocol: result.metrics() for result in results})}")
            say(f"report: {report}")
    if failed:
        where = "; ".join(f"{fit.protocol} fold {fit.summary.name!r}: {fit.summary.stop_reason}" for fit in failed)
        raise NonFiniteLossError(
            f"{len(failed)} of {sum(map(len, fits.values()))} folds have no result, at learning rate "
            f"{experiment.learning_rate:g}: {where}. Lower --config.learning_rate, or set "
            "--config.class_weights=normalized or --config.optimization.clip_norm=1, in another --workdir"
        )
    return results


def main(argv: Sequence[str]) -> None:
    """The command."""
    experiment = parse_command_line(argv)
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
        clips = load_corpus(experiment)
    workdir = _WORKDIR.value or choose_workdir(experiment.name, make_fingerprint(experiment, clips), _RESUME.value)
    run(experiment, clips, Path(workdir), ["python", "-m", "experiments.run", *argv[1:]], parallel)


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv),
            on_interrupt="interrupted; the same command with --resume goes on where this one stopped",
        )
    )
