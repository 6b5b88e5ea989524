"""Is it faster on this machine to train several folds of a small network as an axis of one program?

    python -m benchmarks.folds_at_once [--network STSTNet] [--batch 256] [--folds 1 4] [--rounds 5] [--json FILE]

Epochs of leave-one-subject-out over 442 random pictures of motion features from 68 people, validation included; times
are of one epoch of one fold. CPU time counts all threads of this process.
"""

import numpy as np

from benchmarks.lanes import make_chunk, make_loso
from benchmarks.small_net import PAIRS, measure
from benchmarks.timing import make_parser, report
from mer_jax.data.clips import Clips
from mer_jax.system.machine import keep_freed_memory

PEOPLE, PICTURES, EPOCHS = 68, 442, 4


def make_motion(pictures: int = PICTURES, people: int = PEOPLE) -> Clips:
    """Makes random motion features, with at least one picture of each person."""
    rng = np.random.default_rng(0)
    person = np.sort(np.concatenate([np.arange(people), rng.integers(0, people, pictures - people)]))
    features = rng.integers(0, 256, (pictures, 28, 28, 3), np.uint8)
    return Clips.from_arrays(
        features, labels=[i % 3 for i in range(pictures)], subjects=[f"s{number:02d}" for number in person]
    )


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=256, rounds=5)
    parser.add_argument("--network", choices=PAIRS, default="STSTNet")
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 4], help="folds at once (default: 1 4)")
    arguments = parser.parse_args()
    keep_freed_memory()
    clips = make_motion()
    _, model = PAIRS[arguments.network]
    program = make_loso(clips, model=model, batch_size=arguments.batch, epochs_per_chunk=EPOCHS)
    wall, cpu = measure({str(n): make_chunk(program, n) for n in arguments.folds}, arguments.rounds)
    rows = []
    for number in map(str, arguments.folds):
        epochs = EPOCHS * int(number)
        row = {"network": arguments.network, "batch": arguments.batch, "folds at once": number}
        row |= {
            name: f"{1e3 * np.median(times[number]) / epochs:.1f}" for name, times in (("ms", wall), ("CPU ms", cpu))
        }
        rows.append(row)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
