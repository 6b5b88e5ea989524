"""The same numbers on one device, on several, and in several processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mer_jax
from tests.test_run import ROOT, SMALL, read_predictions, wait_for_epochs

# Probabilities after a few epochs, against those of one device: sums over a batch are taken in another order.
TOLERANCE = 1e-4

FIT_ON_DEVICES = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from pathlib import Path
from mer_jax.training.program import choose_num_slots
from tests import test_training_lanes, toy_training
clips, answers = toy_training.make_clips(), {}
for protocol in ("paper", "subject"):
    for model in (toy_training.SmallNet(), toy_training.NET_OF_THE_PAPER):
        program = test_training_lanes.make_program(clips, protocol, epochs=2, model=model)
        lanes = list(range(len(program.lanes)))
        folder = Path(sys.argv[2]) / protocol / type(model).__name__
        results, _ = test_training_lanes.fit_lanes(program, folder, lanes, choose_num_slots(program, None))
        name = f"{protocol} {type(model).__name__}"
        shape, batch = dict(program.settings.mesh.shape), program.settings.batch_size
        probabilities = [results[lane].probabilities.tolist() for lane in lanes]
        answers[name] = {"mesh": shape, "batch": batch, "probabilities": probabilities}
print(json.dumps(answers))
"""


def fit_on_devices(number, folder):
    done = subprocess.run(
        [sys.executable, "-c", FIT_ON_DEVICES, str(number), str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_eight_devices_give_the_numbers_of_one(tmp_path):
    one, eight = (fit_on_devices(number, tmp_path / str(number)) for number in (1, 8))
    assert {tuple(each["mesh"].values()) for each in one.values()} == {(1, 1)}
    # One fold: its batches are shared by all. Three folds: two lanes of four devices each.
    assert [tuple(each["mesh"].values()) for each in eight.values()] == [(1, 8), (1, 8), (2, 4), (2, 4)]
    assert [each["batch"] for each in one.values()] == [12, 12, 11, 11]
    assert [each["batch"] for each in eight.values()] == [16, 16, 12, 12], "padded to as many clips on each device"
    for name, expected in one.items():
        for got, fold in zip(eight[name]["probabilities"], expected["probabilities"], strict=True):
            np.testing.assert_allclose(got, fold, atol=TOLERANCE, err_msg=name)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def run_command(data_dir, workdir, *arguments, program=("-m", "experiments.run")):
    run = [sys.executable, *program, "--config", "smic_ha.py", *SMALL, "--data_dir", str(data_dir)]
    return [*run, "--workdir", str(workdir), *arguments]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run folder of one process on one device."""
    data_dir = tmp_path_factory.mktemp("data")
    done = subprocess.run(
        run_command(data_dir, data_dir / "one"), cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return data_dir / "one"


def assert_same_numbers(got, expected):
    got, expected = read_predictions(got), read_predictions(expected)
    assert [row["clip_id"] for row in got] == [row["clip_id"] for row in expected]
    for name in (name for name in expected[0] if name.startswith("p_")):
        columns = [[float(row[name]) for row in rows] for rows in (got, expected)]
        np.testing.assert_allclose(*columns, atol=TOLERANCE)


@pytest.mark.slow
def test_a_run_killed_on_four_devices_goes_on_on_one(one, tmp_path):
    four = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    command = run_command(one.parent, tmp_path / "killed")
    process = subprocess.Popen(
        command, cwd=ROOT, env=four, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for_epochs(tmp_path / "killed", 6, process)
    process.kill()
    process.communicate(timeout=150)
    done = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "continues from the checkpoint of epoch" in done.stderr
    assert json.loads((tmp_path / "killed" / "config.json").read_text())["resumed"][0]["differs"] == ["device"]
    assert_same_numbers(tmp_path / "killed", one)


# Goes on until somebody stops it.
ENDLESS = ("--config.epochs=100000", "--config.patience=0")

# Process 0 is interrupted when it has trained a protocol, where nothing is asked of the other one.
INTERRUPTED_BETWEEN_PROTOCOLS = """
import os, runpy, signal, sys, time
from mer_jax.training import train

fit = train.fit_lanes

def fit_and_interrupt(*arguments, **keywords):
    results = fit(*arguments, **keywords)
    if "--process_id=0" in sys.argv:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)  # the signal arrives in the main thread
    return results

train.fit_lanes = fit_and_interrupt
runpy.run_module("experiments.run", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def start_two():
    """Starts a run with two processes, and kills those that are still alive after the test."""
    started = []

    def start(data_dir, folder, *arguments, **program):
        flags = (f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2", *arguments)
        commands = (run_command(data_dir, folder, f"--process_id={index}", *flags, **program) for index in range(2))
        started.extend(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for command in commands
        )
        return started

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(one, start_two, tmp_path):
    two = tmp_path / "two"
    processes = start_two(one.parent, two)
    outputs = [process.communicate(timeout=500) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert (two / "report.html").exists()
    assert mer_jax.load(two).description.training["epochs"] == mer_jax.load(one).description.training["epochs"]
    assert "report.html" not in outputs[1][0], "the first process alone reports"
    assert_same_numbers(two, one)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1])
def test_an_interrupted_process_stops_the_other(first, one, start_two, tmp_path):
    folder = tmp_path / "two"
    processes = start_two(one.parent, folder, *ENDLESS)
    wait_for_epochs(folder, 2, processes[0])
    processes[first].send_signal(signal.SIGINT)
    outputs = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [130, 130], outputs
    assert ("another process stops" in "".join(outputs[0])) == (first == 1)  # it alone speaks


@pytest.mark.slow
def test_a_process_interrupted_between_protocols_stops_the_other(one, start_two, tmp_path):
    program = ("-c", INTERRUPTED_BETWEEN_PROTOCOLS)
    processes = start_two(one.parent, tmp_path / "two", program=program)
    outputs = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [130, 130], outputs


@pytest.mark.slow
def test_a_process_that_cannot_write_stops_the_other(one, start_two, tmp_path):
    folder = tmp_path / "two"
    processes = start_two(one.parent, folder, *ENDLESS)
    wait_for_epochs(folder, 2, processes[0])
    folder.rename(tmp_path / "gone")
    folder.write_text("no folder")
    outputs = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [1, 130], outputs
    assert "\nerror: " in outputs[0][1], outputs
    assert "Traceback" not in "".join(outputs[1]), outputs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--coordinator=127.0.0.1:1"], "got --coordinator without --workdir"),
        (["--coordinator=here", "--workdir=w"], "got --coordinator=here, expected HOST:PORT"),
        (["--coordinator=h:1", "--workdir=w"], "got --num_processes=None and --process_id=None; expected both"),
        (["--coordinator=h:1", "--workdir=w", "--num_processes=2", "--process_id=2"], "process ids from 0 to one less"),
        (["--fold_parallel=all"], "got --fold_parallel=all, expected auto or a whole number from 1"),
    ],
)
def test_wrong_flags_are_one_message(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.run", "--config", "smic_ha.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert message in done.stderr
    assert not Path(ROOT / "w").exists()
