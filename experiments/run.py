"""Runs one experiment, from the corpus to the report.

    python -m experiments.run --config smic_ha.py [--config.<field>=value ...]
        [--manual_dir DIR] [--workdir DIR] [--data_dir DIR] [--resume]

With a licensed corpus under --manual_dir (or MER_MANUAL_DIR) it uses that; without one
it renders a surrogate corpus, and says so in everything that it writes.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging

from datasets.build import build, default_data_dir
from datasets.cache import default_workers
from experiments.config_files import parse_command_line
from experiments.progress import RunProgress
from experiments.run_folder import RunFolder, check_workdir, choose_workdir, locked, make_fingerprint
from mer_jax.checkpoint import FoldCheckpoints
from mer_jax.clips import Clips, FlowFeatures
from mer_jax.config import Experiment
from mer_jax.errors import ConfigError, CorpusError, run_command
from mer_jax.inputs import input_kind, input_shapes, make_inputs
from mer_jax.protocols import audit, check_protocols, make_plan
from mer_jax.report.figures import FaceExample
from mer_jax.report.gap import summarize
from mer_jax.report.page import write_report
from mer_jax.report.results import FoldSummary, ProtocolResult, write_metrics, write_predictions
from mer_jax.train import FoldResult, Program, fit_fold, make_program
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
    "Folds trained at the same time; default: one for each processor on a CPU, 1 on an accelerator.",
    lower_bound=1,
)


def say(text: str) -> None:
    """One line for the user."""
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
    if set(variables) != {"params"}:
        others = ", ".join(sorted(set(variables) - {"params"}))
        raise ConfigError(
            f"{type(experiment.model).__name__} keeps the collections {others} beside its params; "
            "the engine trains params only: expected a module without them"
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


def train_all(
    experiment: Experiment, clips: Clips | FlowFeatures, folder: RunFolder, programs: dict[str, Program], jobs: int
) -> dict[tuple[str, int], tuple[FoldResult, FoldSummary]]:
    """Trains and tests every fold of every protocol, from checkpoints where there are any.

    Args:
        experiment: validated.
        clips: the corpus.
        folder: of the run.
        programs: by protocol.
        jobs: folds trained at the same time; their results do not depend on it.
    """
    folds = [(name, index) for name, program in programs.items() for index in range(len(program.folds))]
    stop = threading.Event()
    with RunProgress(len(folds), experiment.epochs, clips.provenance) as progress:

        def fit(protocol: str, index: int) -> tuple[FoldResult, FoldSummary]:
            program, fold = programs[protocol], progress.start_fold(protocol, index, len(programs[protocol].folds))
            where = {"protocol": protocol, "fold": index, "seed": experiment.seed}
            clock = time.perf_counter()

            def on_restore(epoch: int) -> None:
                folder.forget_history(protocol, index, epoch)
                fold.restore(epoch)

            def on_chunk(rows: list[dict[str, float]]) -> None:
                nonlocal clock
                before, clock = clock, time.perf_counter()
                seconds = round((clock - before) / len(rows), 4)
                folder.append_history([{**where, **row, "seconds": seconds} for row in rows])
                fold.update(rows)

            def on_saved() -> None:
                if stop.is_set():
                    raise KeyboardInterrupt

            with FoldCheckpoints(folder.checkpoint_folder(protocol, index), folder.fingerprint) as checkpoints:
                result = fit_fold(
                    program, index, checkpoints=checkpoints, on_chunk=on_chunk, on_saved=on_saved, on_restore=on_restore
                )
            true = clips.label[program.plan.clip[result.item]]
            fold.finish(result.epochs, float((result.probabilities.argmax(1) == true).mean()), len(true))
            summary = FoldSummary(
                fold=index,
                name=program.plan.folds[index].name,
                seed=experiment.seed,
                epochs_run=result.epochs,
                best_epoch=result.best_epoch,
                seconds=round(float(sum(row["seconds"] for row in folder.read_history(protocol, index))), 2),
                stop_reason=result.stop_reason,
            )
            return result, summary

        with ThreadPoolExecutor(jobs) as pool:
            try:
                futures = {fold: pool.submit(fit, *fold) for fold in folds}
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()  # raises what a fold raised
                return {fold: future.result() for fold, future in futures.items()}
            except BaseException as error:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                if isinstance(error, KeyboardInterrupt):
                    progress.say("stopping when the chunks in hand are saved")
                raise


def collect(
    experiment: Experiment,
    clips: Clips | FlowFeatures,
    program: Program,
    fits: Sequence[tuple[FoldResult, FoldSummary]],
) -> ProtocolResult:
    """Joins the folds of one protocol."""
    plan = program.plan
    item = np.concatenate([result.item for result, _ in fits])
    clip = plan.clip[item]
    return ProtocolResult(
        protocol=plan.protocol,
        corpus=experiment.corpus,
        provenance=clips.provenance,
        clip_id=tuple(clips.clip_id[i] for i in clip),
        subject=tuple(clips.subject[i] for i in clip),
        fold=np.concatenate([np.full(len(result.item), summary.fold) for result, summary in fits]),
        copy=plan.copy[item],
        seed=np.full(len(item), experiment.seed),
        true=clips.label[clip].astype(int),
        probabilities=np.concatenate([result.probabilities for result, _ in fits]).astype(np.float64),
        class_names=clips.class_names,
        model=type(experiment.model).__name__,
        description=plan.description,
        audit=audit(plan, clips.subject),
        folds=tuple(summary for _, summary in fits),
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
    experiment: Experiment, clips: Clips | FlowFeatures, workdir: Path, argv: Sequence[str], jobs: int = 1
) -> list[ProtocolResult]:
    """Runs all protocols of an experiment and writes the run folder.

    Args:
        experiment: validated.
        clips: the corpus.
        workdir: made, or gone on with.
        argv: the command, to be written down.
        jobs: folds trained at the same time.
    """
    plans = {
        name: make_plan(
            name,
            subjects=clips.subject,
            labels=clips.label,
            seed=experiment.seed,
            num_folds=experiment.num_folds,
            num_copies=experiment.num_copies,
        )
        for name in experiment.protocols
    }
    with locked(workdir):
        folder = RunFolder(workdir, experiment, clips)
        config = folder.open(argv)
        say(f"run folder: {workdir}")
        programs = {name: make_program(experiment, clips, plan) for name, plan in plans.items()}
        fits = train_all(experiment, clips, folder, programs, jobs)
        results = [
            collect(experiment, clips, program, [fits[name, index] for index in range(len(program.folds))])
            for name, program in programs.items()
        ]
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
    return results


def main(argv: Sequence[str]) -> None:
    """The command."""
    experiment = parse_command_line(argv)
    check_protocols(experiment.protocols)
    check_model(experiment)
    logging.set_verbosity(logging.ERROR)  # orbax tells of every file
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's end is as good as Ctrl-C
    jax.config.update("jax_compilation_cache_dir", str(user_cache_dir() / "xla"))
    if _WORKDIR.value:
        check_workdir(_WORKDIR.value, _RESUME.value)
    clips = load_corpus(experiment)
    workdir = _WORKDIR.value or choose_workdir(experiment.name, make_fingerprint(experiment, clips), _RESUME.value)
    # One clip after another keeps one processor of a CPU busy; folds keep the others.
    jobs = _JOBS.value or (default_workers() if jax.default_backend() == "cpu" else 1)
    run(experiment, clips, Path(workdir), ["python", "-m", "experiments.run", *argv[1:]], jobs)


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv),
            on_interrupt="interrupted; the same command with --resume goes on where this one stopped",
        )
    )
