"""The documents of the repository and what stands in them: code blocks, commands, links, headings."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"(\w+=\S+ )*(make|\S*\bpython3?|\.venv/bin/mer) ")


RUN = "<!-- test: run -->"


@dataclass(frozen=True)
class Block:
    """A fenced code block of a document.

    Attributes:
        document: Where it stands.
        line: Line number of its opening fence.
        language: As the fence states it.
        text: Its lines.
        is_run: Whether the line above it is `RUN`: its commands are executed, and not only checked for their flags.
    """

    document: Path
    line: int
    language: str
    text: str
    is_run: bool = False


def list_tracked_files() -> list[Path]:
    """Lists the files that git tracks, and nothing else that lies in the folder."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: it says which files belong to the repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def list_documents() -> list[Path]:
    """Lists README.md, CONTRIBUTING.md and the pages in docs/."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def find_blocks(document: Path) -> list[Block]:
    """Finds the fenced code blocks of a document."""
    text = document.read_text().splitlines()
    blocks, opened, language, lines = [], 0, "", []
    for number, line in enumerate(text, start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif opened:
            is_run = opened > 1 and text[opened - 2] == RUN
            blocks.append(Block(document, opened, language, "\n".join(lines) + "\n", is_run))
            opened = 0
        else:
            opened, language, lines = number, line.removeprefix("```").strip(), []
    assert not opened, f"{document.name}, line {opened}: the code block is not closed"
    return blocks


def find_commands(document: Path) -> list[list[str]]:
    """Finds the commands in the shell blocks of a document, each split into words, without comments."""
    blocks = [block for block in find_blocks(document) if block.language in ("", "bash")]
    lines = [line.strip() for block in blocks for line in block.text.splitlines()]
    # Of a chain, the last command.
    return [shlex.split(line, comments=True) for each in lines if COMMAND.match(line := each.rpartition("&& ")[2])]


def all_commands() -> list[list[str]]:
    """The commands in the shell blocks of all documents."""
    return [command for document in list_documents() for command in find_commands(document)]


def find_module(command: list[str]) -> str | None:
    """The module that a command runs by `python -m`."""
    return command[command.index("-m") + 1] if "-m" in command[:-1] and "make" not in command else None


def find_flags(command: list[str]) -> set[str]:
    """The flags of a command, without dashes; those of config fields are all `config.<field>`."""
    return {word.removeprefix("--").partition("=")[0] for word in command if word.startswith("--")}


def find_anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
