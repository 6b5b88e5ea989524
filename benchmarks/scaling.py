"""Does time grow linearly with the number of clips, and what is the overhead of several devices?

    python -m benchmarks.scaling [--rounds 3] [--per_subject 5] [--factors 1 2 4 8] [--json FILE]

One epoch of one fold of our default network on noise: with x1, x2, x4 and x8 clips, and with
x1 on 1, 2, 4 and 8 devices that share the batch. On a CPU the devices are simulated and share
the same cores, so that more of them show the overhead of dividing a batch, not a speed-up. On
accelerators, all that are available are used.
"""

import argparse
import json
import subprocess
import sys

import jax

from benchmarks.lanes import make_chunk, make_clips, make_loso
from benchmarks.timing import make_parser, report, summarize, time_interleaved
from mer_jax.system.devices import make_mesh
from mer_jax.system.machine import keep_freed_memory


def time_devices(number: int, per_subject: int, rounds: int, batch: int) -> None:
    """Runs the process for one number of devices; prints seconds as JSON."""
    mesh = make_mesh(1, jax.devices()[:number])
    program = make_loso(make_clips(per_subject), mesh=mesh, batch_size=batch)
    print(json.dumps(time_interleaved({"": make_chunk(program, 1)}, rounds)[""]))


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=3)
    parser.add_argument("--per_subject", type=int, default=5, help="clips of each of 16 subjects at x1")
    parser.add_argument(
        "--factors", type=int, nargs="+", default=(1, 2, 4, 8), help="multiples of the clips; numbers of devices"
    )
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    factors = sorted({1, *arguments.factors})
    keep_freed_memory()  # before JAX has threads
    if arguments.devices:
        if arguments.devices > 1:
            jax.config.update("jax_num_cpu_devices", arguments.devices)
        time_devices(arguments.devices, arguments.per_subject, arguments.rounds, arguments.batch)
        return
    programs, items = {}, {}
    for factor in factors:
        program = make_loso(make_clips(arguments.per_subject * factor), batch_size=arguments.batch)
        programs[factor] = make_chunk(program, 1)
        items[factor] = sum(getattr(program.lane_data, side).clip.shape[1] for side in ("train", "validation"))
    seconds = time_interleaved(programs, arguments.rounds)
    rows = [
        {
            "clips": f"x{factor}",
            "devices": 1,
            **summarize(times, clips=items[factor]),
            "time a clip, x1 = 1": f"{min(times) / items[factor] / (min(seconds[1]) / items[1]):.3f}",
        }
        for factor, times in seconds.items()
    ]
    available = 8 if jax.default_backend() == "cpu" else len(jax.devices())
    for number in (n for n in factors if n <= available):
        command = [sys.executable, "-m", "benchmarks.scaling", "--devices", str(number)]
        command += ["--per_subject", str(arguments.per_subject), "--rounds", str(arguments.rounds)]
        done = subprocess.run(
            [*command, "--batch", str(arguments.batch)], stdout=subprocess.PIPE, text=True, check=True
        )
        rows.append({"clips": "x1", "devices": number, **summarize(json.loads(done.stdout), clips=items[1])})
    report(rows, arguments.json, notes=[f"x1: {items[1]} items in training and validation"])


if __name__ == "__main__":
    main()
