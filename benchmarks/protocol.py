"""What does a leave-one-subject-out protocol cost, with its folds together or one after another?

    python -m benchmarks.protocol [--folds 16] [--per_subject 10] [--rounds 3] [--trace DIR] [--json FILE]

One epoch of every fold of our default network on noise in the shape of SMIC: training,
augmentation and validation. Together means that all folds are an axis of one program. By
default the engine trains folds one after another on a CPU, and together on an accelerator.
`--together_only` leaves the middle row out. `--trace DIR` writes a profile of an epoch of all folds, for TensorBoard or
Perfetto, and prints the kernels that take the time.
"""

from pathlib import Path

from benchmarks.device_profile import print_kernels, profile
from benchmarks.lanes import make_chunk, make_clips, make_loso
from benchmarks.timing import make_parser, median_ratio, report, summarize, time_interleaved
from mer_jax.system.machine import keep_freed_memory


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=3)
    parser.add_argument("--folds", type=int, default=16)
    parser.add_argument("--per_subject", type=int, default=10, help="clips of each subject")
    parser.add_argument("--together_only", action="store_true", help="do not run folds one after another")
    parser.add_argument("--trace", type=Path, help="write a profile below this folder")
    arguments = parser.parse_args()
    keep_freed_memory()  # before JAX has threads
    program = make_loso(make_clips(arguments.per_subject, subjects=arguments.folds), batch_size=arguments.batch)
    programs = {
        "one fold": make_chunk(program, 1),
        "all, one after another": make_chunk(program, 1, times=arguments.folds),
        "all together": make_chunk(program, arguments.folds),
    }
    if arguments.together_only:
        del programs["all, one after another"]
    seconds = time_interleaved(programs, arguments.rounds)
    rows = []
    for name, times in seconds.items():
        items = program.lane_data.train.clip.shape[1] * (1 if name == "one fold" else arguments.folds)
        ratio = {"times one fold": f"{median_ratio(times, seconds['one fold']):.2f}"}
        rows.append({"an epoch of": name} | summarize(times, clips=items) | ratio)
    notes = [f"{arguments.folds} folds, {program.lane_data.train.clip.shape[1]} training items in each"]
    report(rows, arguments.json, notes=notes, folds=arguments.folds)
    if arguments.trace:
        print_kernels(profile(programs["all together"], arguments.trace))


if __name__ == "__main__":
    main()
