"""How long does `make run` take from an empty clone, and how much memory?

    python -m benchmarks.main_job [--json FILE] [--keep DIR]

Clones the committed state into an empty folder, with an empty mer_jax cache (pip's own cache
is used), and runs `make run` twice: the first run sets up, renders, builds and trains; the
second one only trains. Memory is the largest sum of proportional set sizes over the process
tree, sampled twice a second. Where the seconds go is what the run itself recorded (`timings.json`), and what
is left of the whole is set-up. Linux only.
"""

import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import describe_machine, format_table, make_parser
from experiments.timings import FILE_NAME

ROOT = Path(__file__).parents[1]


def run_and_watch(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> tuple[float, float]:
    """Runs a command; returns its wall seconds and the peak memory (MiB) of its process tree.

    Raises:
        subprocess.CalledProcessError: The command failed; its output is in `log`.
    """
    start = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        peak, done = [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                peak[0] = max(peak[0], sum(map(proportional_mib, descendants(process.pid))))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        done.set()
        watcher.join()
    if code:
        raise subprocess.CalledProcessError(code, command, log.read_text()[-3000:])
    return time.monotonic() - start, peak[0]


def descendants(pid: int) -> list[int]:
    """Lists a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended in the meantime
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def proportional_mib(pid: int) -> float:
    """Returns the proportional set size of a process, in MiB."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:  # it ended in the meantime
        pass
    return 0.0


def stage_rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """Makes the rows of the table of stages: wall seconds and, in brackets, processor seconds of each run.

    Args:
        results: Of the runs, each with `seconds` of the whole and the `timings` of its run folder.
    """
    columns = []
    for result in results:
        timings = result["timings"]
        column = {"set-up": f"{result['seconds'] - timings['seconds']:.1f}"}
        for name, each in timings["stages"].items():
            column[name] = f"{each['seconds']:.1f} ({each['processor_seconds']:.1f})"
        column["of train: compile, summed over threads"] = f"{timings['compile']:.1f}"
        for name, seconds in timings["folds"].items():
            column[f"of train: {name}, summed over folds"] = f"{seconds:.1f}"
        columns.append(column)
    names = dict.fromkeys(name for column in columns for name in column)
    return [[name, *(column.get(name, "") for column in columns)] for name in names]


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the clone, which is then kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary) / "clone").absolute()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        ours = ("MER_", "PYTHONPATH", "VIRTUAL_ENV")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment["MER_CACHE_DIR"] = str(Path(temporary) / "cache")
        results = []
        for name in ("from an empty clone", "again"):
            log = folder.with_name(f"{folder.name}-{len(results) + 1}.log")
            seconds, memory = run_and_watch(["make", "run"], folder, environment, log)
            newest = max((folder / "runs").iterdir(), key=lambda path: path.name)
            metrics = json.loads((newest / "metrics.json").read_text())
            accuracy = {protocol: entry["accuracy"] for protocol, entry in metrics.items()}
            timings = json.loads((newest / FILE_NAME).read_text())
            results.append(
                {"run": name, "seconds": seconds, "peak_mib": memory, "accuracy": accuracy, "timings": timings}
            )
    print(describe_machine())
    rows = []
    for result in results:
        accuracy = ", ".join(f"{name} {value:.3f}" for name, value in result["accuracy"].items())
        rows.append([result["run"], f"{result['seconds'] / 60:.1f}", f"{result['peak_mib']:.0f}", accuracy])
    print(format_table(["make run", "minutes", "peak MiB", "accuracy (SURROGATE)"], rows))
    print()
    print(format_table(["stage", *(f"{each['run']}, s (processor s)" for each in results)], stage_rows(results)))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
