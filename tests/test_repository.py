"""The promises that the repository makes about itself: what is in the wheel, who imports whom, what documents say."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mer_jax
from experiments.config_files import CONFIG_FOLDER, load_config
from mer_jax.vision.libraries import DEBIAN_PACKAGES
from tests.documents import ROOT, list_tracked_files

# What the engine may need. jaxtyping is typing only: pure Python, no arrays of its own.
ENGINE = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "jaxtyping")
ENGINE_PACKAGES = tuple(
    f"mer_jax.{room}" for room in ("models", "blocks", "native", "data", "protocols", "training", "evaluation")
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """Runs a command; both outputs come back as text."""
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


# --- What is installed.


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_library_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mer_jax"}


def test_wheel_holds_every_file_of_the_library(wheel):
    names = (path.relative_to(ROOT).as_posix() for path in list_tracked_files())
    in_tree = {name for name in names if name.startswith("mer_jax/")}
    assert "mer_jax/report/templates/report.html.j2" in in_tree
    assert "mer_jax/py.typed" in in_tree, "PEP 561: without it type checkers ignore the annotations of the package"
    assert in_tree <= set(wheel.namelist())


def test_wheel_carries_the_licence(wheel):
    for name in ("LICENSE", "NOTICE"):
        assert any(member.endswith(f"licenses/{name}") for member in wheel.namelist())


def test_clips_of_real_faces_are_attributed():
    texts = {name: (ROOT / "tests" / name / "README.md").read_text() for name in ("faces", "cases")}
    for name, text in texts.items():
        for path in (ROOT / "tests" / name).iterdir():
            assert path.suffix in (".md", ".npz") or path.name in text
    for text in (*texts.values(), " ".join((ROOT / "NOTICE").read_text().split())):
        for said in ("Cooke", "Barker", "Cunningham", "Shao", "10.5281/zenodo.3625687", "licenses/by/4.0"):
            assert said in text
    assert "unchanged" in texts["faces"]
    assert "changed" in texts["cases"]


IMPORT_ENGINE = """
import importlib, pkgutil, sys
blocked = set({blocked!r})

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in blocked or name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
import mer_jax

count = 0
for package in {packages!r}:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
        count += 1
mer_jax.train, mer_jax.Clips, mer_jax.Experiment, mer_jax.models.HybridAttention3DNet
print("imported", count)
"""


def requirements_of(names: tuple[str, ...]) -> set[str]:
    """The distributions that these need, directly or not, themselves included."""
    found, waiting = set(), [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needed = map(Requirement, importlib.metadata.requires(name) or ())
            waiting += [canonicalize_name(r.name) for r in needed if not r.marker or r.marker.evaluate({"extra": ""})]
        except importlib.metadata.PackageNotFoundError:  # for another platform
            continue
    return found


def test_engine_imports_without_the_rest(tmp_path):
    """An accelerator machine may have the engine's packages and no others."""
    allowed = requirements_of(ENGINE)
    blocked = sorted(
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if module != "mer_jax" and not allowed & {canonicalize_name(owner) for owner in owners}
    )
    assert {"cv2", "mediapipe", "matplotlib", "jinja2", "tensorflow_datasets", "tqdm"} <= {*blocked}
    blocked += ["datasets", "experiments", "benchmarks", "mer_jax.vision"]
    code = IMPORT_ENGINE.format(blocked=blocked, packages=ENGINE_PACKAGES)
    done = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    modules = re.fullmatch(r"imported (\d+)\n", done.stdout)
    assert modules, done.stderr
    assert int(modules[1]) > 30


def test_importing_the_library_imports_nothing_outside_the_standard_library():
    listing = "import sys; before = set(sys.modules); import mer_jax; print(*sorted(set(sys.modules) - before))"
    done = run(sys.executable, "-c", listing)
    outside = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert outside == {"mer_jax"}, done.stderr


def test_import_contracts_hold():
    done = run(sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")
    assert done.returncode == 0, done.stdout + done.stderr


# --- What set-up relies on.


# Which extras each lock holds; `make lock` writes them.
LOCKS = {
    "requirements.lock": ("experiments", "dev", "build"),
    ".ci/run.lock": ("experiments", "build"),
    ".ci/keras.lock": ("keras", "dev"),
    ".ci/beam.lock": ("experiments", "beam", "dev"),
}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_fit_the_declared_dependencies(lock):
    locked = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / lock).read_text(), re.M):
        locked.setdefault(canonicalize_name(name), []).append(version)
    extras = [text for extra in LOCKS[lock] for text in PROJECT["optional-dependencies"][extra]]
    extras = [text for text in extras if not text.startswith("mer_jax[")]
    for text in [*PROJECT["dependencies"], *extras]:
        requirement = Requirement(text)
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{lock} lacks {requirement.name}; run `make lock`"
        assert all(requirement.specifier.contains(v) for v in versions), f"{text} got {versions}; run `make lock`"


def test_what_a_run_needs_is_part_of_the_whole_lock():
    """The same entries, hashes included: `make test` after `make run` installs what is missing and replaces nothing."""
    run_lock, whole = (
        {entry.partition("\n    # via")[0] for entry in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text())[1:]}
        for name in (".ci/run.lock", "requirements.lock")
    )
    assert run_lock <= whole, "run `make lock`"
    assert not {name for name in map(str.lower, run_lock) if name.startswith(("pyright", "pytest", "ruff"))}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock):
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / lock).read_text())
    bare = [entry.split()[0] for entry in entries if "==" in entry.split("\n")[0] and "--hash=sha256:" not in entry]
    assert not bare


@pytest.mark.parametrize("lock", LOCKS)
def test_one_opencv_is_locked(lock):
    """A second OpenCV wheel overwrites files of the first."""
    assert set(re.findall(r"^(opencv[a-z-]*)==", (ROOT / lock).read_text(), re.M)) == {"opencv-contrib-python"}


@pytest.fixture(scope="module")
def check_system() -> dict:
    return runpy.run_path(str(ROOT / ".ci" / "check_system.py"))


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_other_pythons_are_refused(check_system, version):
    fault = check_system["find_python_fault"](version)
    assert f"this is Python {version[0]}.{version[1]}, and mer_jax needs 3.11, 3.12 or 3.13" in fault


def test_a_python_without_venv_is_told_the_package(check_system):
    def find_spec(name):
        return None if name == "ensurepip" else importlib.util.find_spec(name)

    assert "sudo apt-get install -y python3-venv" in check_system["find_python_fault"]((3, 11), find_spec)


def test_this_python_is_accepted(check_system):
    assert check_system["find_python_fault"](sys.version_info[:2]) is None
    supported = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    oldest, newest = (".".join(map(str, check_system[name])) for name in ("OLDEST", "NEWEST"))
    assert (oldest, newest) == (supported[0], supported[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: libraries are searched by their Linux names")
def test_missing_libraries_are_named_by_package(check_system):
    find = check_system["find_missing_packages"]
    assert find({"libc.so.6": "libc6", "libnone.so.1": "libnone1"}) == ["libnone1"]
    assert find() == [], "the tests themselves need these"


def test_debian_packages_are_the_same_everywhere(check_system):
    assert tuple(check_system["DEBIAN_PACKAGES"].values()) == DEBIAN_PACKAGES
    for document in ("README.md", "docs/installation.md"):
        assert " ".join(DEBIAN_PACKAGES) in (ROOT / document).read_text()


FAKE_MAKE = """#!/bin/sh
echo "make $*"
case "$1" in
  test) echo "===== 12 passed, 3 skipped, 7 deselected in 65.43s (0:01:05) =====" ;;
  test-extras) echo "5 passed in 1.2s"; echo "2 passed in 0.5s" ;;
  test-slow) echo "1 failed, 4 passed in 9.9s"; exit $SLOW_STATUS ;;
esac
"""


@pytest.mark.parametrize("status", [0, 2])
def test_ci_adds_up_all_tests_and_stops_at_a_failure(tmp_path, status):
    for name, script in (("make", FAKE_MAKE), ("chromium", "#!/bin/sh\n"), ("apt-get", "#!/bin/sh\nexit 1\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run("bash", str(ROOT / ".ci" / "run"), PATH=path, PYTHON=sys.executable, SLOW_STATUS=str(status))
    lines = done.stdout.splitlines()
    steps = [line for line in lines if line.startswith("make ")]
    assert steps == ["make setup", "make lint", "make test", "make test-extras", "make test-slow"], done.stderr
    assert done.returncode == status
    assert lines[-1] == ("23 passed, 0 failed, 3 skipped" if status == 0 else "1 failed, 4 passed in 9.9s")


# --- What documents say; test_documents.py has the rest.


def test_changelog_has_a_section_for_what_is_not_released():
    sections = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert sections[0] == "[Unreleased]"


def test_citation_has_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {mer_jax.__version__}\n" in citation


@pytest.mark.parametrize("path", sorted(CONFIG_FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_configs_are_valid_and_named_after_their_file(path):
    experiment = load_config(path)
    experiment.validate()
    assert experiment.name == path.stem
    assert (ROOT / "datasets" / experiment.corpus / "release.py").exists()


NOTEBOOK = {"Purpose": r"\w.{20}", "Time": r"(not measured yet|.*\b\d+ (second|minute|hour)s?\b)", "Expect": r"\w.{20}"}


@pytest.mark.parametrize("path", sorted(CONFIG_FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_configs_say_what_they_are_for_how_long_they_take_and_what_to_expect(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert f"python -m experiments.run --config {path.name}" in docstring
    for part, content in NOTEBOOK.items():
        assert re.search(rf"^{part}: {content}", docstring, re.M), (
            f"{path.name}: the docstring has no line '{part}: ...' of this form; for the time, see "
            f"python -m benchmarks.configs {path.stem} --write"
        )


# Where this machine keeps its packages and its users' files says nothing to anybody else.
PRIVATE = re.compile(
    r"(--(extra-)?index-url|--find-links|pythonhosted\.org|://(test\.)?pypi\.org/simple"
    r"|(?<![\w.])/(root|home/\w+|Users/\w+)/)"
)


def test_no_file_tells_of_the_machine_it_was_written_on():
    told = []
    for path in list_tracked_files():
        if path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        told += [f"{path.relative_to(ROOT)}: {match.group()}" for match in PRIVATE.finditer(text)]
    assert not told


def test_no_network_is_longer_than_a_page_or_two():
    lines = {path.name: path.read_text().count("\n") for folder in ("models", "baselines")
             for path in (ROOT / "mer_jax" / folder).glob("*.py")}  # fmt: skip
    assert "augcn.py" in lines
    assert {name: number for name, number in lines.items() if number > 150} == {}


def test_no_file_without_a_home():
    homeless = {"utils.py", "common.py", "helpers.py", "base.py"}
    assert not [path for path in list_tracked_files() if path.name in homeless]


# --- Set-up itself.


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_set_up_that_was_killed_is_done_again(tmp_path):
    """Needs the package index, and 1.7 GB for a while; both set-ups are real ones."""
    clone = tmp_path / "clone"
    for path in list_tracked_files():
        target = clone / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    make = ["make", "setup", f"PYTHON={Path(sys.executable).resolve()}"]
    try:
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(make, cwd=clone, stdout=log, stderr=log, start_new_session=True)
            installing = clone / ".venv" / "bin" / "pip"
            while not installing.exists() and process.poll() is None:
                time.sleep(0.05)
            time.sleep(3)
            assert process.poll() is None, f"set-up ended too early: {(tmp_path / 'log').read_text()}"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not (clone / ".venv" / "ready").exists()

        again = subprocess.run(make, cwd=clone, capture_output=True, text=True, timeout=1400, check=False)
        assert again.returncode == 0, again.stderr
        done = run(
            str(clone / ".venv/bin/python"), "-c", "import mer_jax.training.train; print(mer_jax.__file__)", cwd=clone
        )
        assert done.stdout.strip() == str(clone / "mer_jax" / "__init__.py"), done.stderr

        third = run("make", "setup", cwd=clone)
        assert "pip install" not in third.stdout, "set-up was not taken for complete"
    finally:
        shutil.rmtree(clone)
