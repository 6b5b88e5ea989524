"""SMIC as its owners release it; SMIC-E, which has an annotation file, is read by `datasets.smic.extended`.

    SMIC_all_raw/{HS,VIS,NIR}/s<N>/micro/{negative,positive,surprise}/s<N>_{ne,po,sur}_<kk>/image<counter>.bmp
    SMIC_all_cropped/{HS,VIS,NIR}/s<N>/micro/.../reg_image<counter>.bmp

SMIC has no annotation file, so folders take the place of its rows: each is exactly one micro-expression from onset to
offset, its label is the name of the class folder, and there is no apex. Counts: X. Li et al., "A Spontaneous
Micro-expression Database", FG 2013.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datasets.annotated import AnnotatedRelease, Annotation, Key, Tree
from datasets.folders import enter_doubled, find_folders, normalize_name, subfolders
from datasets.records import ClipRecord, Corpus, Reason, Unusable
from datasets.report import Findings
from datasets.schemes import THREE
from datasets.smic.extended import SmicExtended
from datasets.smic.names import CLASS_OF_TOKEN, CLIP, LENGTHS, PUBLISHED, SCHEMES, SUBJECT, clip_id_of
from mer_jax.system.files import natural_key

_FORMS = {"smic_all_raw": "raw", "smic_all_cropped": "cropped"}


@dataclasses.dataclass(frozen=True)
class _Found:
    """A clip folder, and what its place and its name say about it."""

    folder: Path
    annotation: Annotation
    contradictions: int  # between its place and its name


class Smic(AnnotatedRelease):
    """SMIC: spontaneous micro-expressions of 16 people at 100 frames per second."""

    name = "smic"
    has_action_units = False
    title = "SMIC"
    parts = ("hs", "vis", "nir", "hs_e", "vis_e", "nir_e")
    default_part = "hs"
    schemes = SCHEMES
    instructions = "Unpack SMIC_all_raw or SMIC_all_cropped; for SMIC-E, SMIC-E_raw image."
    homepage = "https://www.oulu.fi/cmvs/node/41319"

    published = PUBLISHED
    expected_tree = f"SMIC_all_raw or SMIC_all_cropped with HS/s<N>/micro/<{'|'.join(THREE)}>/s<N>_<ne|po|sur>_<kk>/"
    subject_pattern = SUBJECT
    clip_pattern = CLIP
    forms = ("raw", "cropped")  # the raw frames are preferred: the face is cropped by our own rules
    marks = tuple((part, part) for part in ("hs", "vis", "nir"))
    has_ranges = False
    has_apex = False

    @classmethod
    def read(cls, manual_dir: Path, part: str | None = None) -> Corpus:
        """Finds one camera of SMIC or SMIC-E below a folder and lists its clips; HS by default."""
        part = part or cls.default_part
        return (SmicExtended if part.endswith("_e") else super()).read(manual_dir, part)

    def hint(self) -> str:
        """Tells where SMIC-E lies in place of SMIC."""
        extended = SmicExtended(self.manual_dir)
        roots = find_folders(self.manual_dir, extended.is_root, max_depth=5)
        parts = sorted({part for root in roots if (part := extended.identify(root)[0])})
        return f" It holds SMIC-E: --variant {' or '.join(parts)} reads it." if parts else ""

    def is_root(self, folder: Path) -> bool:
        """Returns whether a folder holds subjects with a folder micro."""
        return any(_micro_of(each) for each in subfolders(folder))

    def identify(self, root: Path) -> tuple[str | None, str]:
        """Returns the camera by the name of the folder, and the form by those above it or by its first frame."""
        part = next((part for part in self.parts[:3] if normalize_name(root.name) == part), None)
        for folder in (root, *root.absolute().parents):
            if form := _FORMS.get(normalize_name(folder.name)):
                return part, form
        for folder in self.list_folders(root, Findings()).values():
            frames, _ = self.frames_of(folder)
            if frames:
                return part, "cropped" if normalize_name(frames[0].name).startswith("reg_") else "raw"
        return part, "raw"

    def list_folders(self, root: Path, findings: Findings) -> dict[Key, Path]:
        """Lists the clip folders; of two with one name, the one whose place agrees better with it."""
        self._found = sorted(self._walk(root, findings), key=lambda found: found.contradictions)
        folders: dict[Key, Path] = {}
        for found in self._found:
            folders.setdefault(found.annotation.key, found.folder)
        return folders

    def read_rows(self, root: Path) -> tuple[Path | None, Iterable[Any]]:
        """Returns the folders as rows."""
        return None, self._found

    def annotate(self, row: _Found) -> Annotation:
        """Returns what place and name of a folder say."""
        return row.annotation

    def _walk(self, root: Path, findings: Findings) -> Iterable[_Found]:
        for subject_folder in subfolders(root):
            micro = _micro_of(subject_folder)
            if not micro:
                findings.add("other", f"{subject_folder} has no folder micro and is not read")
                continue
            for class_folder in subfolders(micro[0]):
                for clip_folder in subfolders(enter_doubled(class_folder)):
                    if clip_id := clip_id_of(clip_folder.name):
                        yield self._interpret(clip_folder, clip_id, subject_folder.name, class_folder.name, findings)
                    else:
                        findings.add("other", f"{clip_folder} is not named s<N>_<ne|po|sur>_<kk> and is not read")

    def _interpret(
        self, folder: Path, clip_id: str, subject_name: str, class_folder_name: str, findings: Findings
    ) -> _Found:
        named_number, token, _ = clip_id[1:].split("_")
        number, named_class = self.subject_number(subject_name), CLASS_OF_TOKEN[token]
        class_name, told = normalize_name(class_folder_name), []
        if number != int(named_number):
            number = int(named_number) if number is None else number
            told.append(f"{folder} is read as a clip of subject s{number}; its names contradict")
        if class_name not in THREE:
            told.append(f"{folder} lies in no class folder ({', '.join(THREE)}); read as {named_class} by its name")
            class_name = named_class
        elif class_name != named_class:
            told.append(f"{folder} is named as {named_class}; read as {class_name} by its folder")
        findings.add("other", *told)
        key, labels = (int(named_number), clip_id), {"emotion": class_name, "kind": "micro"}
        return _Found(folder, Annotation(clip_id, f"s{number}", key, labels, str(folder)), len(told))

    def finish(self, records: Sequence[ClipRecord], unusable: dict[str, Unusable], tree: Tree) -> None:
        """Reports clips that are missing from the sequence and lengths that were not published."""
        for clip_id, clip in (tree.marker or {}).get("clips", {}).items():
            if clip_id not in {record.clip_id for record in records} | set(unusable):
                labels = {"emotion": clip["class"], "kind": "micro"}
                record = ClipRecord(clip_id, clip["subject"], self.name, labels, (), (), 0, None, 0)
                unusable[clip_id] = Unusable(Reason.NO_FOLDER, "no folder for this clip of the marker file", record)
                self._report_unusable(clip_id, unusable[clip_id])
        indices = defaultdict(set)
        for record in records:
            stem, _, index = record.clip_id.rpartition("_")
            indices[stem].add(int(index))
            shortest, longest = LENGTHS[tree.part]
            if not shortest <= len(record.frames) <= longest:
                self.findings.add(
                    "other",
                    f"{record.clip_id} has {len(record.frames)} frames; published clips have {shortest} to {longest}",
                )
        # Numbers run from 01 for each subject and class.
        self.findings.add(
            "missing",
            *(
                f"{stem}_{index:02d} is missing from the sequence"
                for stem in sorted(indices, key=natural_key)
                for index in range(1, max(indices[stem]))
                if index not in indices[stem]
            ),
        )


def _micro_of(subject_folder: Path) -> list[Path]:
    inside = subfolders(enter_doubled(subject_folder))
    return [enter_doubled(each) for each in inside if normalize_name(each.name) == "micro"]
