"""What SMIC and SMIC-E share: names of folders, classes, and published counts."""

import dataclasses
import re

from datasets.folders import normalize_name
from datasets.records import Published
from datasets.schemes import MEGC_2019, THREE, Scheme, by_name

CLASS_OF_TOKEN = {"ne": "negative", "po": "positive", "sur": "surprise"}
SUBJECT = re.compile(r"s_?0*(\d{1,3})")  # of a normalised name; the release writes s1 to s20, unpadded
CLIP = re.compile(r"s0*(\d{1,3})_(ne|po|sur)_(\d{1,4})")

_HS_SUBJECTS = {
    "s1": 6, "s2": 6, "s3": 39, "s4": 19, "s5": 2, "s6": 4, "s8": 13, "s9": 4, "s11": 7, "s12": 9, "s13": 10,
    "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
}  # fmt: skip
# Eight people were also recorded by two slower cameras.
_SLOW_SUBJECTS = {"s11": 7, "s12": 9, "s13": 10, "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22}


def _published(by_subject: dict[str, int], *by_class: int) -> Published:
    counts = dict(zip(THREE, by_class, strict=True))
    return Published(counts, by_subject, by_class=counts)


PUBLISHED = {
    "hs": _published(_HS_SUBJECTS, 70, 51, 43),
    "vis": _published(_SLOW_SUBJECTS, 23, 28, 20),
    "nir": _published(_SLOW_SUBJECTS, 23, 28, 20),  # not published; taken to be those of VIS
    "hs_e": _published(_HS_SUBJECTS | {"s1": 5, "s2": 5, "s3": 37, "s4": 17, "s9": 3}, 66, 51, 40),
    # One clip of VIS is named surprise and annotated negative.
    "vis_e": _published(_SLOW_SUBJECTS, 24, 28, 19),
    "nir_e": _published(_SLOW_SUBJECTS, 24, 28, 19),
}
LENGTHS = {"hs": (11, 58), "vis": (4, 13), "nir": (4, 13)}  # shortest and longest published clip, frames
_THREE = Scheme(
    name="3class",
    class_of={name: name for name in THREE},
    by_class=PUBLISHED["hs"].by_label,
    num_subjects=16,
    source="Li et al., SMIC, FG 2013: the labels as released",
)
SCHEMES = by_name(_THREE, dataclasses.replace(_THREE, name="megc2019", source=MEGC_2019))


def clip_id_of(name: str) -> str | None:
    """Returns the clip id in the name of a folder, such as s3_ne_02; None if it is no such name."""
    match = CLIP.fullmatch(normalize_name(name))
    return f"s{match.group(1)}_{match.group(2)}_{int(match.group(3)):02d}" if match else None
