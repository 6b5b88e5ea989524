"""Draws one tested clip of a finished run: the recording, what the network is given, and what it answers.

    python -m experiments.picture RUN [--out FILE] [--clip ID] [--manual_dir DIR] [--data_dir DIR]

RUN is a folder of `experiments.run`. Without --clip, the clip is the one with the median certainty among those that
were recognised, under the subject-disjoint protocol of the run; it is not the best one. A picture of surrogate faces
is marked as such.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from datasets.build import default_data_dir
from datasets.load import load_corpus, render_surrogate
from datasets.release import find_release
from experiments.repeat import read_record
from mer_jax.cli.command import run_command
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view, make_face
from mer_jax.errors import ConfigError, near_names
from mer_jax.evaluation.gap import find_honest
from mer_jax.evaluation.predictions import read_predictions
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.report.figures import FaceExample
from mer_jax.report.overview import AnsweredClip, draw_overview
from mer_jax.system.files import write_atomically
from mer_jax.training.train import fingerprint
from mer_jax.vision.frames import FolderFrames


def load_clip_frames(
    experiment: Experiment, clip_id: str, manual_dir: str | None, data_dir: str | None
) -> tuple[Clips, tuple[Path, ...]]:
    """Loads the corpus of a run, and lists the recorded frames of one clip.

    Args:
        experiment: of the run.
        clip_id: the clip.
        manual_dir: folder of the licensed corpus; None takes `$MER_MANUAL_DIR`, and without it the surrogate.
        data_dir: folder of built corpora.
    """
    clips, _ = load_corpus(experiment, manual_dir=manual_dir, data_dir=data_dir)
    data_dir = Path(data_dir) if data_dir else default_data_dir()
    manual_dir = (
        manual_dir or os.environ.get("MER_MANUAL_DIR") or render_surrogate(experiment, data_dir, say=lambda line: None)
    )
    release = find_release(experiment.corpus)
    part = release.find_variant(experiment.variant or None).part
    records = {record.clip_id: record for record in release.read(Path(manual_dir), part).records}
    return clips, records[clip_id].frames


def find_result(run: Path) -> ProtocolResult:
    """Reads the predictions of a run's subject-disjoint protocol.

    Raises:
        ConfigError: The run has no such protocol.
    """
    results = {result.protocol: result for result in read_predictions(run / "predictions.csv")}
    honest = find_honest(json.loads((run / "metrics.json").read_text()))
    if honest not in results:
        raise ConfigError(
            f"{run} has the protocols {', '.join(results)}; expected one that keeps people apart, such as subject. "
            "Run it with --config.protocols=subject"
        )
    return results[honest]


def choose_row(result: ProtocolResult, clip_id: str | None = None) -> int:
    """Chooses the tested clip to show.

    Args:
        result: of a protocol that tests each clip once.
        clip_id: the clip; None takes the recognised clip of median certainty.

    Returns:
        Its row in `result`.

    Raises:
        ConfigError: The clip was not tested, or none was recognised.
    """
    if clip_id is not None:
        if clip_id not in result.clip_id:
            raise ConfigError(f"no tested clip is called {clip_id!r}; {near_names(clip_id, set(result.clip_id))}")
        return result.clip_id.index(clip_id)
    recognised = np.flatnonzero(result.true == result.predicted)
    if not len(recognised):
        raise ConfigError("the run recognised no clip; name the one to show with --clip")
    certainty = result.probabilities[recognised, result.true[recognised]]
    return int(recognised[np.argsort(certainty, kind="stable")[(len(recognised) - 1) // 2]])


def show_clip(
    experiment: Experiment, clips: Clips, result: ProtocolResult, row: int, frames: Sequence[Path]
) -> AnsweredClip:
    """Collects what the picture shows of one clip.

    Args:
        experiment: of the run.
        clips: the corpus, as faces.
        result: of the protocol.
        row: in `result`.
        frames: image files of the clip's recording, from onset to offset.
    """
    index = clips.clip_id.index(result.clip_id[row])
    stored = clips.pictures[index]
    (fed,) = make_face(jnp.asarray(stored), experiment.normalization)
    change = np.abs(stored.astype(np.float32) - stored[0]).mean((1, 2))
    frame = int(change.argmax())
    recording = FolderFrames(frames)[round(frame / (len(stored) - 1) * (len(frames) - 1))]
    accuracy = float(np.mean(result.true == result.predicted))
    return AnsweredClip(
        face=FaceExample(
            class_name=result.class_names[result.true[row]],
            clip_id=result.clip_id[row],
            subject=result.subject[row],
            stored=stored,
            fed=np.asarray(fed)[..., 0],
        ),
        recording=recording,
        frame=frame,
        class_names=result.class_names,
        probabilities=result.probabilities[row],
        caption=(
            f"{type(experiment.model).__name__}\nprotocol {result.protocol}: accuracy {accuracy:.3f}\n"
            f"of {len(result.true)} clips"
        ),
    )


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.picture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, help="file to write (default: overview.png in the run folder)")
    parser.add_argument("--clip", help="clip to show, as predictions.csv names it")
    parser.add_argument("--manual_dir", help="folder of the licensed corpus (default: $MER_MANUAL_DIR)")
    parser.add_argument("--data_dir", help="folder of built corpora (default: $MER_DATA_DIR or ./data)")
    given = parser.parse_args(arguments)
    recorded = read_record(given.run)
    experiment = recorded.experiment
    if find_view(experiment.model).stored != "faces":
        raise ConfigError(
            f"{given.run} is a run of {type(experiment.model).__name__}, which takes motion features; expected a run "
            "of a network that takes faces, such as smic_ha"
        )
    result = find_result(given.run)
    row = choose_row(result, given.clip)
    clips, frames = load_clip_frames(experiment, result.clip_id[row], given.manual_dir, given.data_dir)
    if (got := fingerprint(experiment, clips)) != recorded.fingerprint:
        raise ConfigError(
            f"experiment and data have the fingerprint {got}; expected {recorded.fingerprint}, that of {given.run}: "
            "the clips are not the same. Give the --manual_dir and --data_dir that it was made with"
        )
    out = given.out or given.run / "overview.png"
    picture = draw_overview(show_clip(experiment, clips, result, row, frames), clips.provenance)
    print(f"{write_atomically(out, picture)}: clip {result.clip_id[row]}")


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:]), on_interrupt="interrupted; no picture is written"))
