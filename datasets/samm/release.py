"""SAMM as its owners release it.

    SAMM_Micro_FACS_Codes_v2.xlsx, sheet MICRO_ONLY, header in row 14
    SAMM/<sss>/<sss>_<v>_<m>/<sss>_<frame>.jpg       onset to offset, numbered as recorded; padded to 5 digits or to 4
    SAMM_CROP/...                                     the same names, cropped

Counts: version 2 of the annotation, January 2019.
"""

import dataclasses
import re

from datasets.annotated import AnnotatedRelease, Annotation, Key
from datasets.folders import normalize_name
from datasets.records import Published
from datasets.release import Publication
from datasets.schemes import MEGC_2019, Scheme, as_annotated, by_name, grouped, objective
from datasets.spreadsheet import CellError, Row, subject_number

_EMOTIONS = {
    "anger": 57, "other": 26, "happiness": 26, "surprise": 15, "contempt": 12, "disgust": 9, "fear": 8, "sadness": 6,
}  # fmt: skip
_SUBJECTS = {
    "006": 11, "007": 10, "009": 4, "010": 4, "011": 20, "012": 3, "013": 6, "014": 11, "015": 3, "016": 5,
    "017": 6, "018": 4, "019": 3, "020": 9, "021": 2, "022": 5, "023": 1, "024": 1, "025": 4, "026": 13,
    "028": 3, "030": 3, "031": 1, "032": 6, "033": 5, "034": 3, "035": 9, "036": 1, "037": 3,
}  # fmt: skip
_DAVISON = "Davison et al., SAMM, IEEE TAC 2018"
_THREE = Scheme(
    name="3class",
    class_of=grouped(
        negative=("anger", "contempt", "disgust", "fear", "sadness"), positive=("happiness",), surprise=("surprise",)
    ),
    by_class={"negative": 92, "positive": 26, "surprise": 15},
    num_subjects=28,
    source="Irawan et al. name the classes and no counts; grouped as MEGC 2019",
)
# Wrong in earlier copies of version 2, right in that of January 2019.
_KNOWN_OFFSETS = {"013_1_9": (5793, 5739)}


class Samm(AnnotatedRelease):
    """SAMM: 159 micro-movements of 29 people at 200 frames per second."""

    name = "samm"
    title = "SAMM"
    parts = ("raw", "cropped")
    schemes = by_name(
        _THREE,
        dataclasses.replace(_THREE, name="megc2019", source=MEGC_2019),
        Scheme(
            name="5class",
            **as_annotated(_EMOTIONS, "disgust", "fear", "sadness"),
            num_subjects=27,
            source="the five labels with more than ten clips, as most papers on SAMM take them",
        ),
        Scheme(
            name="7class",
            **as_annotated(_EMOTIONS, "other"),
            num_subjects=28,
            source=f"{_DAVISON}: the seven emotions, without 'other'",
        ),
        Scheme(name="8class", **as_annotated(_EMOTIONS), num_subjects=29, source=f"{_DAVISON}: all labels"),
        *objective(24, 13, 20, 8, 3, 7, 84),
    )
    instructions = "Unpack SAMM (or SAMM_CROP) and SAMM_Micro_FACS_Codes_v2.xlsx."
    publication = Publication(source="SAMM's agreement; the list of those who may be shown comes with the data")
    homepage = "http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php"

    published = Published(_EMOTIONS, _SUBJECTS)
    expected_tree = "a folder with <sss>/<sss>_<v>_<m>/ inside, such as SAMM/006/006_1_2"
    annotation_name = "SAMM_Micro_FACS_Codes_v2.xlsx"
    subject_pattern = re.compile(r"(\d{3})")
    clip_pattern = re.compile(r"(\d{3})_\d{1,2}_\d{1,2}")
    marks = (("cropped", "crop"),)
    sheet = "MICRO_ONLY"

    def rank(self, stem: str) -> int | None:
        """Prefers version 2 of the codes of micro-movements."""
        name = normalize_name(stem)
        if any(other in name for other in ("casme", "smic", "mmew", "cas(me)")):
            return None
        if "facs" in name and ("samm" in name or "micro" in name):
            return None if "long" in name else 0 if "v2" in name else 10
        return 20 if name.startswith("samm") and "long" not in name else 90

    def annotate(self, row: Row) -> Annotation:
        """Interprets one row."""
        number, clip = subject_number(row, "Subject"), row.match("Filename", self.clip_pattern, "006_1_2")
        if int(clip.group(1)) != number:
            raise CellError(
                f"{row.place('Filename')} holds {clip.group()!r}, a clip of another subject than the row's, {number}."
            )
        key = (number, clip.group().casefold())
        annotation = self.interpret(row, clip.group(), f"{number:03d}", key)
        return dataclasses.replace(annotation, offset=self._repair(clip.group(), key, annotation.offset, row.place()))

    def _repair(self, clip_id: str, key: Key, offset: int | None, place: str) -> int | None:
        """Corrects an offset that is known to be wrong in earlier annotations, if the folder shows this to be one."""
        wrong, right = _KNOWN_OFFSETS.get(clip_id, (None, None))
        if offset is None or offset != wrong or key not in self.folders:
            return offset
        _, numbers = self.frames_of(self.folders[key])
        if not numbers or numbers[-1] >= offset:
            return offset
        self.findings.add("repairs", f"{clip_id} ({place}): offset {wrong} is known to be wrong; it is {right}")
        return right
