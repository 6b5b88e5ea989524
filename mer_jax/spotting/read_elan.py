"""Intervals from `.eaf`, the annotation format of ELAN: those that `mer predict` writes, and those of coders.

The kind of an annotation is that of its tier's name or, where that is not the name of a kind, that of its text. Tiers
that give neither are left out, and the notes of the table name them.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from mer_jax.errors import IntervalsError
from mer_jax.spotting.interval import GIVEN
from mer_jax.spotting.interval_table import CHOICES, IntervalRow, IntervalTable, VideoFacts, parse_kind, reject
from mer_jax.system.files import natural_key, printable

_OWN_TIER = re.compile(r"face (\d+) ([a-z]+)(?: \d+)?")  # as mer_jax.export.tiers names them
_OWN_EMPTY_TIER = re.compile(r"face \d+")
_OWN_TEXT = re.compile(r"(SURROGATE )?[a-z]+: (.+) \d\.\d\d")  # as PredictedInterval.text has it
_UNSURE = re.compile(r"no answer( \(.*\?\))?")


def read_elan(paths: Sequence[Path], chosen_kinds: Mapping[str, str], source: Path) -> IntervalTable:
    """Reads the annotations of one or several videos, one file each, named like its video.

    Args:
        paths: The files.
        chosen_kinds: Kinds by the names of tiers, or by the texts of annotations.
        source: What the user named: the file, or the folder.

    Raises:
        IntervalsError: Not such a file, two files of one name, an annotation without times, or no tier with a known
            kind.
    """
    rows: list[IntervalRow] = []
    by_name: dict[str, Path] = {}
    used: dict[str, dict[str, None]] = {}  # kinds by tier
    unused: list[str] = []
    dropped: list[str] = []
    names: set[str] = set()
    is_surrogate = False
    for path in sorted(paths, key=lambda path: natural_key(str(path))):
        if path.stem in by_name:
            raise IntervalsError(f"{by_name[path.stem]} and {path} have the same name; expected one file a video")
        by_name[path.stem] = path
        root = _parse(path)
        slots = {each.get("TIME_SLOT_ID", ""): each.get("TIME_VALUE") for each in root.iter("TIME_SLOT")}
        for tier in root.iter("TIER"):
            name = tier.get("TIER_ID", "")
            annotations = list(tier.iter("ALIGNABLE_ANNOTATION"))
            kept = [row for each in annotations if (row := _read_annotation(path, name, each, slots, chosen_kinds))]
            rows += kept
            names |= {name, *(_text(each) for each in annotations)}
            for row in kept:
                used.setdefault(name, {})[row.kind] = None
            if kept and len(kept) < len(annotations):  # kinds are those of the texts, and some are of none
                dropped += [_text(each) for each in annotations if parse_kind(_text(each), chosen_kinds) is None]
            if (annotations or tier.find(".//REF_ANNOTATION") is not None) and not kept:
                unused.append(name)
            is_surrogate |= any(_text(each).startswith("SURROGATE ") for each in annotations)
            if not annotations and (parse_kind(name, chosen_kinds) or _OWN_EMPTY_TIER.match(name)):
                used.setdefault(name, {})[parse_kind(name, chosen_kinds) or "empty"] = None
    if unused and not used:
        tiers = printable(", ".join(dict.fromkeys(map(repr, unused))))
        raise IntervalsError(
            f"{source} has the tiers {tiers}, and none says of which kind it is; expected --tier NAME=micro for each "
            f"tier to score, or a name or text among {', '.join(CHOICES)}"
        )
    shown = [f"tier {name!r} is {' or '.join(kinds)}" for name, kinds in used.items()]
    notes = [f"{source.name}: {', '.join(shown)}"] if used else []
    if unused:
        notes.append(f"{source.name}: tiers left out: {', '.join(dict.fromkeys(unused))}")
    if dropped:
        notes.append(f"{source.name}: {len(dropped)} annotations of no known kind left out, such as {dropped[0]!r}")
    return IntervalTable(
        path=source,
        rows=tuple(rows),
        videos={name: VideoFacts() for name in by_name},
        provenance="surrogate" if is_surrogate else "unstated",
        notes=tuple(map(printable, notes)),
        names=frozenset(names),
    )


def _parse(path: Path) -> ET.Element:
    try:
        root = ET.fromstring(path.read_bytes())
    except OSError as error:
        raise IntervalsError(f"{path} cannot be read: {error.strerror}; expected an .eaf file of ELAN") from error
    except ET.ParseError as error:
        raise IntervalsError(f"{path} is no XML: {error}; expected an .eaf file, saved by ELAN") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise IntervalsError(f"{path} is XML of another kind, <{printable(root.tag)}>; expected an .eaf file of ELAN")
    return root


def _read_annotation(
    path: Path, tier: str, annotation: ET.Element, slots: Mapping[str, str | None], chosen_kinds: Mapping[str, str]
) -> IntervalRow | None:
    text, own = _text(annotation), _OWN_TIER.fullmatch(tier)
    kind_of_tier = parse_kind(own[2] if own else tier, chosen_kinds)
    kind_of_text = parse_kind(text, chosen_kinds)
    # A tier "expressions" may hold "micro" and "macro".
    kind = kind_of_text or kind_of_tier if kind_of_tier in (None, GIVEN) else kind_of_tier
    if kind is None:
        return None
    place = f"tier {tier!r}, annotation {annotation.get('ANNOTATION_ID', '?')}"
    times = []
    for end in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
        value = slots.get(annotation.get(end, ""))
        if value is None or not re.fullmatch(r"\d{1,12}", value):
            reject(path, place, "has no time", "milliseconds; align it in ELAN")
        times.append(int(value) / 1000)
    if times[1] <= times[0]:
        reject(path, place, f"is from {times[0]:g} to {times[1]:g} s", "the end last")
    written = _OWN_TEXT.fullmatch(text)
    label = written[2] if written else text  # what the coder wrote on a tier of this kind
    return IntervalRow(
        video=path.stem,
        place=place,
        kind=kind,
        onset_s=times[0],
        end_s=times[1],
        face_id=int(own[1]) if own else 0,
        label=None if not label or kind_of_text or _UNSURE.fullmatch(label) else label,
    )


def _text(annotation: ET.Element) -> str:
    return (annotation.findtext("ANNOTATION_VALUE") or "").strip()
