"""Checks a copy of a corpus: what it holds beside what its owners published, and whether it can be built.

    python -m datasets.check casme2 --manual_dir DIR [--variant NAME] [--json]

Lists folders, reads the annotation, and looks at the first and last bytes of every frame; it decodes none and writes
nothing. Exit code 0: it can be built, perhaps with differences; 1: it cannot, and the reason is printed. Of long videos
(`--variant long`) only the headers of files are looked at.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.build import add_corpus_arguments, find_manual_dir
from datasets.folders import size_fault
from datasets.long_videos import LONG, find_long_release
from datasets.records import ClipRecord, Corpus
from datasets.release import find_release
from datasets.report import CorpusReport, make_report
from mer_jax.cli.command import run_command
from mer_jax.errors import MerError
from mer_jax.sizes import MOTION_SIZE
from mer_jax.system.files import printable

_TAIL = 64  # bytes at the end of a file that are looked at; cameras append a few after the end of a JPEG
_LINES = 20  # damaged frames that a person is shown


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found in a copy.

    Attributes:
        corpus: As read.
        report: In the classes that were asked for.
        damaged: Clip id to what is wrong with the first of its frames that is damaged.
    """

    corpus: Corpus
    report: CorpusReport
    damaged: dict[str, str]

    @property
    def is_usable(self) -> bool:
        """Whether `python -m datasets.build` takes the copy as it is."""
        return not self.damaged

    def lines(self) -> list[str]:
        """Returns the result as lines to print."""
        head, *lines = self.report.lines()
        damaged = [f"  damaged: {clip_id}: {what}" for clip_id, what in list(self.damaged.items())[:_LINES]]
        if len(self.damaged) > _LINES:
            damaged.append(f"  damaged: and {len(self.damaged) - _LINES} clips more; --json has all")
        lines = [head, *damaged, *lines]
        if self.is_usable:
            differences = len(self.report.differences)
            told = f", {differences} differences" if differences else ""
            return [*lines, f"usable: {self.report.num_clips} clips{told}"]
        return [
            *lines,
            f"not usable as it is: {len(self.damaged)} clips have damaged frames. Copy them again from their source, "
            "or leave them out: `python -m datasets.build --skip-unreadable`.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the same as plain values that `json.dumps` takes."""
        return {
            "corpus": self.corpus.name,
            "usable": self.is_usable,
            "class_names": list(self.report.expected_by_class),
            **self.report.to_json(),
            "left_out": {clip_id: each.to_json() for clip_id, each in self.corpus.unusable.items()},
            "damaged": self.damaged,
        }


def check(corpus: str, manual_dir: str | Path, *, variant: str | None = None) -> Check:
    """Reads a copy of a corpus and looks at its frames.

    Args:
        corpus: One of `datasets.release.known_corpora()`.
        manual_dir: The folder that the corpus was unpacked into.
        variant: Part of the release, class scheme, or `<part>_<scheme>`; None takes the default.

    Raises:
        ConfigError: An unknown corpus or variant.
        CorpusError: A folder without this corpus, an annotation that cannot be read, no clip that can be used.
    """
    release = find_release(corpus)
    chosen = release.find_variant(variant)
    source = release.read(Path(manual_dir).expanduser(), chosen.part)
    damaged = {record.clip_id: fault for record in source.records if (fault := find_damage(record))}
    if release.stored(source.part) == "motion":
        for record in source.records:
            if record.clip_id not in damaged and (fault := size_fault(record.frames[0], MOTION_SIZE)):
                damaged[record.clip_id] = fault
    return Check(source, make_report(source, chosen.scheme), damaged)


def find_damage(record: ClipRecord) -> str | None:
    """Returns what is wrong with the first damaged frame of a clip, by how its file begins and ends."""
    faults = ((path, _frame_fault(path)) for path in dict.fromkeys(record.frames))
    return next((f"{path} {fault}" for path, fault in faults if fault), None)


def _frame_fault(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(16)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not size:
        return "is an empty file"
    if head.startswith(b"\xff\xd8"):
        return None if b"\xff\xd9" in tail else "is a JPEG that was cut short"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None if b"IEND" in tail else "is a PNG that was cut short"
    if head.startswith(b"BM"):
        stated = int.from_bytes(head[2:6], "little")
        return None if size >= stated else f"is a BMP that was cut short: {size} of {stated} bytes"
    return f"is no image: it begins with {head[:8]!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.check", description="Check what a copy of a corpus holds and whether it can be built."
    )
    add_corpus_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    flags = parser.parse_args(arguments)
    found: list[Check] = []

    def command() -> None:
        try:
            manual_dir = find_manual_dir(flags.corpus, flags.manual_dir)
            if flags.variant == LONG:
                videos = find_long_release(flags.corpus).read_long(manual_dir)
                print(
                    json.dumps(videos.to_json(), indent=1) if flags.json else "\n".join(map(printable, videos.lines()))
                )
                return
            found.append(check(flags.corpus, manual_dir, variant=flags.variant))
        except MerError as error:
            if flags.json:
                print(json.dumps({"corpus": flags.corpus, "usable": False, "error": str(error)}))
            raise
        lines = [json.dumps(found[0].to_json(), indent=1)] if flags.json else map(printable, found[0].lines())
        print("\n".join(lines))

    code = run_command(command, on_interrupt="interrupted")
    return code or int(any(not each.is_usable for each in found))


if __name__ == "__main__":
    sys.exit(main())
