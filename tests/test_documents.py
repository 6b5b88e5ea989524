"""What the documents say is so: their commands, flags, Python blocks and links."""

import importlib.util
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mer_jax.cli.main import main
from tests.documents import (
    ROOT,
    all_commands,
    find_anchors,
    find_blocks,
    find_flags,
    find_module,
    list_documents,
    list_tracked_files,
)

README_LINES = 150
OF_OTHERS = ("pip", "venv")  # modules that are not ours
MODULES = sorted({module for command in all_commands() if (module := find_module(command))} - {*OF_OTHERS})
UNDOCUMENTED = ["mer_jax.cli.main", "mer_jax.vision.face_model"]  # run by `mer` and by the Makefile
SUBCOMMANDS = sorted({command[1] for command in all_commands() if command[0] == ".venv/bin/mer"})
PAGES = [document for document in list_documents() if document.name != "CONTRIBUTING.md"]  # its blocks are whole files
PAGES_WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in find_blocks(page))]


def run(*command, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """Runs a command; both outputs come back as text."""
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=500, check=False
    )


def check_flags(help_text: str, flags: set[str], name: str) -> None:
    for flag in sorted(flags):
        if flag.startswith("config."):
            continue  # test_documented_experiments_parse
        # absl shows a boolean as --[no]resume
        assert re.search(rf"--(\[no\])?{flag}\b", help_text), f"{name} --help does not know --{flag}"


# Runs `python -m MODULE --help` for each argument in one process, since imports take most of the time.
ASK_FOR_HELP = """
import contextlib, io, json, runpy, sys
answers = {}
for module in sys.argv[1:]:
    sys.argv, output, code = [module, "--help"], io.StringIO(), "no exit"
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as error:
            code = error.code
    answers[module] = [code, output.getvalue()]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def help_texts() -> dict[str, list]:
    """Exit code and output of `--help`, by module."""
    # The ones with absl define flags of their own, which one process can hold once.
    absl = [module for module in (*MODULES, *UNDOCUMENTED) if "absl" in find_source(module).read_text()]
    rest = [module for module in (*MODULES, *UNDOCUMENTED) if module not in absl]
    answers: dict[str, list] = {}
    for modules in (rest, *([each] for each in absl)):
        done = run(sys.executable, "-c", ASK_FOR_HELP, *modules)
        assert done.returncode == 0, done.stderr
        answers |= json.loads(done.stdout)
    return answers


def find_source(module: str) -> Path:
    """File that `python -m module` executes."""
    path = ROOT / module.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("module", [*MODULES, *UNDOCUMENTED])
def test_documented_modules_explain_themselves(module, help_texts):
    code, output = help_texts[module]
    assert code in (0, None), output
    mine = [command for command in all_commands() if find_module(command) == module]
    check_flags(output, set().union(*map(find_flags, mine)), module)


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_documented_subcommands_of_mer_explain_themselves(subcommand, capsys):
    with pytest.raises(SystemExit) as ended:
        main([subcommand, "--help"])
    assert ended.value.code == 0
    mine = [command for command in all_commands() if command[:2] == [".venv/bin/mer", subcommand]]
    check_flags(capsys.readouterr().out, set().union(*map(find_flags, mine)), f"mer {subcommand}")


def test_the_commands_of_the_documents_are_found():
    assert {"experiments.run", "experiments.grid", "datasets.build", "datasets.check", "benchmarks.peers"} <= {*MODULES}
    assert {"inspect", "score", "compare", "models"} <= {*SUBCOMMANDS}


def test_modules_in_running_text_exist():
    texts = [document.read_text() for document in [*list_documents(), ROOT / "benchmarks" / "RESULTS.md"]]
    named = {name for text in texts for name in re.findall(r"python -m ([\w.]+)", text)} - {*OF_OTHERS}
    assert len(named) > len(MODULES)
    assert not [name for name in sorted(named) if importlib.util.find_spec(name) is None]


def test_documented_make_targets_exist():
    lines = [command for command in all_commands() if "make" in command]
    targets = {word for line in lines for word in line[line.index("make") + 1 :] if "=" not in word}
    assert {"run", "test", "setup"} <= targets
    for target in sorted(targets):
        done = run("make", "--dry-run", target)
        assert done.returncode == 0, done.stderr


# absl parses one command line a process, and the import takes seconds: so one import, and a child for each line.
PARSE = """
import json, os, sys
from experiments import flags
from experiments.config_files import parse_command_line
for line in json.loads(sys.argv[1]):
    if (child := os.fork()) == 0:
        try:
            parse_command_line(["experiments.run", *line], needs_config="--repeat" not in line)
        except BaseException as error:
            print(*line, ":", error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_documented_experiments_parse():
    commands = [command for command in all_commands() if find_module(command) == "experiments.run"]
    assert len(commands) >= 3
    arguments = [command[command.index("experiments.run") + 1 :] for command in commands]
    arguments.append(["--config", "smic_ha.py", "--config.nme=x"])  # to see that a wrong one is seen
    done = run(sys.executable, "-c", PARSE, json.dumps(arguments))
    assert done.stdout.splitlines() == [
        "--config smic_ha.py --config.nme=x : unknown field 'nme' of config; did you mean 'name'?"
    ], done.stderr


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_run(page, tmp_path):
    """The blocks of a page run as they stand, in order, in one fresh process, after the commands that are marked."""
    blocks = find_blocks(page)
    for block in blocks:
        for line in block.text.splitlines() if block.is_run else ():
            command = line.replace(".venv/bin/python", sys.executable)
            done = run("bash", "-c", command, cwd=tmp_path, PYTHONPATH=str(ROOT))
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    # Blank lines keep the line numbers of the page in tracebacks.
    lines: list[str] = []
    for block in blocks:
        if block.language == "python":
            lines += [""] * (block.line - len(lines)) + block.text.splitlines()
    script = tmp_path / f"{page.stem}.py"
    script.write_text("\n".join(lines) + "\n")
    before = sorted(tmp_path.rglob("*"))
    done = run(sys.executable, str(script), cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.rglob("*")) == before, "a Python block wrote files"


def test_python_blocks_are_found():
    assert {"README.md", "python.md", "corpora.md"} <= {page.name for page in PAGES_WITH_PYTHON}


def test_links_lead_somewhere():
    documents = [path for path in list_tracked_files() if path.suffix == ".md"]
    assert {ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "datasets" / "smic" / "README.md"} <= {*documents}
    broken = []
    for document in documents:
        # Code is not read for links.
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", document.read_text(), flags=re.S | re.M)
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
            name, _, anchor = target.partition("#")
            path = document.parent / name if name else document
            if not path.exists() or (anchor and anchor not in find_anchors(path)):
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert not broken


PATH = re.compile(r"`((?:mer_jax|datasets|experiments|benchmarks|tests|docs|\.ci)/[\w./-]+)`")
NAME = re.compile(r"`((?:mer_jax|datasets|experiments|benchmarks)(?:\.\w+)+)[`(]")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_names_in_running_text_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    assert not [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    for name in NAME.findall(text):
        pkgutil.resolve_name(name)


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text()
    assert not [page.name for page in (ROOT / "docs").glob("*.md") if f"]({page.name})" not in index + "](index.md)"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_picture_of_the_readme_is_small():
    assert (ROOT / "docs" / "overview.png").stat().st_size < 150_000
