"""Says what a copy of a corpus holds, beside what its owners published, and whether it can be built.

    python -m datasets.check casme2 --manual_dir DIR [--config NAME] [--json]

Lists folders, reads the annotation, and looks at the first and last bytes of every frame; it decodes none and writes
nothing. Exit code 0: it can be built, perhaps with differences; 1: it cannot, and the reason is said.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.build import find_manual_dir, find_variant, import_reader, known_corpora
from datasets.megc2019.flow_features import FLOW_SIZE
from datasets.records import ClipRecord, Corpus
from mer_jax.errors import MerError

_TAIL = 64  # bytes at the end of a file that are looked at; cameras append a few after the end of a JPEG
_LINES = 20  # damaged frames that a person is shown


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found in a copy.

    Attributes:
        corpus: as read.
        damaged: clip id to what is wrong with the first of its frames that is damaged.
    """

    corpus: Corpus
    damaged: dict[str, str]

    @property
    def is_usable(self) -> bool:
        """Whether `python -m datasets.build` takes the copy as it is."""
        return bool(self.corpus.records) and not self.damaged

    def lines(self) -> list[str]:
        """Says it in lines to print."""
        lines = self.corpus.report.lines()
        lines += [f"  damaged: {clip_id}: {what}" for clip_id, what in list(self.damaged.items())[:_LINES]]
        if len(self.damaged) > _LINES:
            lines.append(f"  damaged: and {len(self.damaged) - _LINES} clips more; --json has all")
        if self.is_usable:
            usable, differences = len(self.corpus.records), len(self.corpus.report.differences)
            return [*lines, f"usable: {usable} clips" + (f", {differences} differences" if differences else "")]
        return [
            *lines,
            f"not usable as it is: {len(self.damaged)} clips have damaged frames. Copy them again from their source, "
            "or leave them out: `python -m datasets.build --skip-unreadable`.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Gives the same as plain values that `json.dumps` takes."""
        return {
            "corpus": self.corpus.name,
            "usable": self.is_usable,
            "class_names": list(self.corpus.class_names),
            **self.corpus.report.to_json(),
            "left_out": dict(self.corpus.unusable),
            "damaged": self.damaged,
        }


def check(corpus: str, manual_dir: str | Path, *, variant: str | None = None) -> Check:
    """Reads a copy of a corpus and looks at its frames.

    Args:
        corpus: one of `datasets.build.known_corpora()`.
        manual_dir: the folder that the corpus was unpacked into.
        variant: a config of the corpus; None takes the first one.

    Raises:
        ConfigError: an unknown corpus or variant.
        CorpusError: a folder without this corpus, an annotation that cannot be read, no clip that could be used.
    """
    reader = import_reader(corpus)
    variant = find_variant(corpus, reader, variant)
    source = reader.read_corpus(Path(manual_dir).expanduser(), variant)
    damaged = {record.clip_id: fault for record in source.records if (fault := find_damage(record))}
    if getattr(reader.VARIANTS[variant], "is_features", False):
        for record in source.records:
            if record.clip_id not in damaged and (fault := _size_fault(record.frames[0])):
                damaged[record.clip_id] = f"{record.frames[0]} {fault}"
    return Check(source, damaged)


def find_damage(record: ClipRecord) -> str | None:
    """Says what is wrong with the first damaged frame of a clip, by how its file begins and ends; None if nothing."""
    for path in dict.fromkeys(record.frames):
        fault = _frame_fault(path)
        if fault:
            return f"{path} {fault}"
    return None


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


def _size_fault(path: Path) -> str | None:
    """Says what is wrong with the size of a picture of motion features, by the first bytes of the PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if not head.startswith(b"\x89PNG") or width == height == FLOW_SIZE:
        return None
    return f"has {width}x{height} pixels; expected motion features of {FLOW_SIZE}x{FLOW_SIZE}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.check", description="Say what a copy of a corpus holds, and whether it can be built."
    )
    parser.add_argument("corpus", help=f"one of {', '.join(known_corpora())}")
    parser.add_argument("--manual_dir", help="folder that the corpus was unpacked into (default: $MER_MANUAL_DIR)")
    parser.add_argument("--config", help="variant of the corpus, such as hs or cropped_5class (default: the first)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    flags = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in any encoding
    try:
        manual_dir = find_manual_dir(flags.corpus, flags.manual_dir)
        found = check(flags.corpus, manual_dir, variant=flags.config)
    except MerError as error:
        if flags.json:
            print(json.dumps({"corpus": flags.corpus, "usable": False, "error": str(error)}))
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(found.to_json(), indent=1) if flags.json else "\n".join(found.lines()))
    return 0 if found.is_usable else 1


if __name__ == "__main__":
    sys.exit(main())
