"""Reads SMIC as its owners released it: from the folder tree to clip records.

    SMIC_all_raw/{HS,VIS,NIR}/s<N>/micro/{negative,positive,surprise}/s<N>_{ne,po,sur}_<kk>/image<counter>.bmp
    SMIC_all_cropped/{HS,VIS,NIR}/s<N>/micro/.../reg_image<counter>.bmp

SMIC has no annotation file: a folder is exactly one micro-expression from onset to offset, its label is the name of the
class folder, and there is no apex. SMIC-E, which has a file, is read by `datasets.smic.extended`. Counts: X. Li et al.,
"A Spontaneous Micro-expression Database", FG 2013.
"""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets.records import (
    ClipRecord,
    Corpus,
    describe_folder,
    enter_doubled,
    expected_counts,
    fill_gaps,
    find_folders,
    find_marker,
    list_frames,
    normalize_name,
    subfolders,
)
from datasets.report import CorpusReport, Findings, count_clips, count_differences, natural_key
from mer_jax.errors import CorpusError

CLASS_NAMES = ("negative", "positive", "surprise")
CLASS_OF_TOKEN = {"ne": "negative", "po": "positive", "sur": "surprise"}
RELEASES = ("SMIC_all_raw", "SMIC_all_cropped")  # the raw frames are preferred: the face is cropped by our own rules

_SUBJECT = re.compile(r"s_?0*(\d+)")  # of a normalized name; the release writes s1 to s20, unpadded
_CLIP = re.compile(r"s0*(\d+)_(ne|po|sur)_(\d+)")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One camera of SMIC, with the counts that were published for it.

    Attributes:
        folder: its name in the release.
        by_class: clips per class.
        by_subject: clips per subject.
        num_frames_range: shortest and longest clip, frames.
        is_extended: whether it is of SMIC-E, where clips lie within longer recordings.
    """

    folder: str
    by_class: Mapping[str, int]
    by_subject: Mapping[str, int]
    num_frames_range: tuple[int, int]
    is_extended: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels."""
        return CLASS_NAMES


# Eight people were also recorded by two slower cameras.
_SLOW_BY_SUBJECT = {"s11": 7, "s12": 9, "s13": 10, "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22}
_SLOW = Variant("VIS", {"negative": 23, "positive": 28, "surprise": 20}, _SLOW_BY_SUBJECT, (4, 13))

VARIANTS = {
    "hs": Variant(
        folder="HS",
        by_class={"negative": 70, "positive": 51, "surprise": 43},
        by_subject={
            "s1": 6,
            "s2": 6,
            "s3": 39,
            "s4": 19,
            "s5": 2,
            "s6": 4,
            "s8": 13,
            "s9": 4,
            "s11": 7,
            "s12": 9,
            "s13": 10,
            "s14": 10,
            "s15": 4,
            "s18": 7,
            "s19": 2,
            "s20": 22,
        },
        num_frames_range=(11, 58),
    ),
    "vis": _SLOW,
    "nir": dataclasses.replace(_SLOW, folder="NIR"),  # its classes are not published; taken to be those of VIS
}
VARIANTS["hs_e"] = Variant(
    folder="HS",
    by_class={"negative": 66, "positive": 51, "surprise": 40},
    by_subject=VARIANTS["hs"].by_subject | {"s1": 5, "s2": 5, "s3": 37, "s4": 17, "s9": 3},
    num_frames_range=(16, 58),
    is_extended=True,
)
# One clip of VIS is named surprise and annotated negative.
VARIANTS["vis_e"] = dataclasses.replace(
    _SLOW, by_class={"negative": 24, "positive": 28, "surprise": 19}, is_extended=True
)
VARIANTS["nir_e"] = dataclasses.replace(VARIANTS["vis_e"], folder="NIR")


@dataclasses.dataclass(frozen=True)
class _Found:
    """A clip folder, and what its place and its name say about it."""

    folder: Path
    clip_id: str
    subject: str
    class_name: str
    contradictions: int  # between its place and its name


def read_corpus(manual_dir: Path, variant: str = "hs") -> Corpus:
    """Finds SMIC below a folder and lists its clips; opens no frame.

    Args:
        manual_dir: the folder that holds SMIC_all_raw or SMIC_all_cropped up to three levels down, or is one of them,
            or is the variant's own folder (HS).
        variant: which camera, a key of `VARIANTS`; those that end in _e are of SMIC-E.

    Returns:
        clips, sorted by clip id, and the report on this copy. A copy that differs from the published counts is
        reported, not refused.

    Raises:
        CorpusError: no such folder, no SMIC in it, no clip in SMIC, or a folder that cannot be listed.
    """
    published = VARIANTS[variant]
    if published.is_extended:
        from datasets.smic.extended import read_extended

        return read_extended(manual_dir, published)
    root, release, others = _find_root(manual_dir, published.folder)
    findings = Findings()
    findings.add("not_read", *(f"{other} holds {published.folder} clips too and is not read" for other in others))
    differences: list[str] = []
    records, unusable = [], {}
    for each in _resolve(_walk(root, differences), differences):
        frames, numbers, oddities = list_frames(enter_doubled(each.folder))
        differences += oddities
        if not frames:
            unusable[each.clip_id] = f"no frames in {each.folder}"
            continue
        frames, numbers, lacking = fill_gaps(frames, numbers)
        if lacking:
            filled = "the frame before stands in" if len(frames) == numbers[-1] - numbers[0] + 1 else "left as it is"
            findings.add(
                "frames_missing", f"{each.clip_id} lacks {lacking} frames between its first and its last; {filled}"
            )
        records.append(
            ClipRecord(
                clip_id=each.clip_id,
                subject=each.subject,
                class_name=each.class_name,
                corpus="smic",
                frames=tuple(frames),
                frame_numbers=tuple(numbers),
                onset=0,
                apex=None,
                offset=len(frames) - 1,
            )
        )
    if not records:
        raise CorpusError(
            f"{root} looks like SMIC but holds no clip; expected "
            f"s<N>/micro/<{'|'.join(CLASS_NAMES)}>/s<N>_<ne|po|sur>_<kk>/ with frames. "
            + " ".join(f"{difference}." for difference in [*differences, *unusable.values()][:5])
        )
    findings.add("other", *differences)
    records.sort(key=lambda record: natural_key(record.clip_id))
    marker = _find_marker(manual_dir, root)
    return Corpus(
        name="smic",
        class_names=CLASS_NAMES,
        records=tuple(records),
        unusable=unusable,
        report=_report(root, release, published, records, unusable, findings, marker),
        marker=marker,
    )


def _find_root(manual_dir: Path, variant_folder: str) -> tuple[Path, str, list[Path]]:
    """Finds the folder of subjects; returns it, the release that it belongs to, and the candidates passed over."""
    if not manual_dir.is_dir():
        what = "is a file" if manual_dir.exists() else "does not exist"
        raise CorpusError(f"manual_dir {manual_dir} {what}; expected the folder that holds {' or '.join(RELEASES)}.")
    other_cameras = {"hs", "vis", "nir"} - {normalize_name(variant_folder)}

    def search(top: Path) -> list[Path]:
        def holds_subjects(folder: Path) -> bool:
            name = normalize_name(folder.name)
            rightly_named = name == normalize_name(variant_folder) or (folder == top and name not in other_cameras)
            return rightly_named and any(_has_micro(each) for each in subfolders(folder))

        return find_folders(top, holds_subjects)

    # A release's own name says more than a bare HS, so HS folders inside of releases come first; of these, recordings
    # before surrogates, raw before cropped, then the fuller ones (a doubled folder can hold a left-over).
    names = [normalize_name(release) for release in RELEASES]
    releases = find_folders(manual_dir, lambda folder: normalize_name(folder.name) in names)
    candidates = [folder for release in releases for folder in search(release)] or search(manual_dir)
    if not candidates:
        raise CorpusError(
            f"no SMIC {variant_folder} in {manual_dir}. Looked up to three levels down for {' or '.join(RELEASES)} "
            f"with {variant_folder}/s<N>/micro/<{'|'.join(CLASS_NAMES)}>/ inside; "
            f"found: {describe_folder(manual_dir)}. "
            "Point manual_dir at the folder that you unpacked SMIC into; datasets/smic/README.md says where to ask "
            "for a copy."
        )

    def preference(folder: Path) -> tuple[bool, int, int]:
        is_surrogate = _find_marker(manual_dir, folder) is not None
        return is_surrogate, RELEASES.index(_release_of(folder)), -sum(1 for _ in _walk(folder, []))

    candidates.sort(key=preference)
    return candidates[0], _release_of(candidates[0]), candidates[1:]


def _release_of(root: Path) -> str:
    """Says whether a folder of subjects is raw or cropped: by the folders above it, else by its frames' names."""
    for folder in (root, *root.absolute().parents):
        for release in RELEASES:
            if normalize_name(folder.name) == normalize_name(release):
                return release
    for clip in _walk(root, []):
        frames, _, _ = list_frames(enter_doubled(clip.folder))
        if frames:
            return RELEASES[normalize_name(frames[0].name).startswith("reg_")]
    return RELEASES[0]


def _find_marker(manual_dir: Path, root: Path) -> dict[str, Any] | None:
    # A link must not make recordings of a surrogate: where the folder really lies counts too.
    real_root = Path(os.path.realpath(root))
    return find_marker(root, _top_of_release(manual_dir, root)) or find_marker(
        real_root, _top_of_release(real_root, real_root)
    )


def _top_of_release(manual_dir: Path, root: Path) -> Path:
    """Returns how far up the surrogate's marker may lie: manual_dir, or the folder beside the release, if higher."""
    top = manual_dir.absolute()
    for folder in (root.absolute(), *root.absolute().parents):
        if normalize_name(folder.name) in map(normalize_name, RELEASES) and top.is_relative_to(folder):
            top = folder.parent
    return top


def _has_micro(subject_folder: Path) -> bool:
    return any(normalize_name(each.name) == "micro" for each in subfolders(enter_doubled(subject_folder)))


def _walk(root: Path, differences: list[str]) -> Iterator[_Found]:
    """Yields the clip folders under micro/, and says what it passes by."""
    for subject_folder in subfolders(root):
        micro = [
            enter_doubled(each)
            for each in subfolders(enter_doubled(subject_folder))
            if normalize_name(each.name) == "micro"
        ]
        by_folder = _SUBJECT.fullmatch(normalize_name(subject_folder.name))
        if not micro:
            differences.append(f"{subject_folder} has no folder micro and is not read")
            continue
        for class_folder in subfolders(micro[0]):
            for clip_folder in subfolders(enter_doubled(class_folder)):
                match = _CLIP.fullmatch(normalize_name(clip_folder.name))
                if not match:
                    differences.append(f"{clip_folder} is not named s<N>_<ne|po|sur>_<kk> and is not read")
                    continue
                number, token, index = match.groups()
                subject = f"s{by_folder.group(1) if by_folder else number}"
                contradictions = 0
                if not by_folder or by_folder.group(1) != number:
                    contradictions += 1
                    differences.append(f"{clip_folder} is read as a clip of subject {subject}; its names contradict")
                named_class = CLASS_OF_TOKEN[token]
                class_name = normalize_name(class_folder.name)
                if class_name not in CLASS_NAMES:
                    differences.append(
                        f"{clip_folder} lies in no class folder ({', '.join(CLASS_NAMES)}); "
                        f"read as {named_class} by its name"
                    )
                    class_name = named_class
                    contradictions += 1
                elif class_name != named_class:
                    contradictions += 1
                    differences.append(f"{clip_folder} is named as {named_class}; read as {class_name} by its folder")
                clip_id = f"s{number}_{token}_{int(index):02d}"
                yield _Found(clip_folder, clip_id, subject, class_name, contradictions)


def _resolve(clips: Iterator[_Found], differences: list[str]) -> list[_Found]:
    """Keeps one folder for each clip id: the one whose place agrees best with its name, else the first."""
    by_id = defaultdict(list)
    for clip in clips:
        by_id[clip.clip_id].append(clip)
    kept = []
    for clip_id, candidates in by_id.items():
        candidates.sort(key=lambda clip: clip.contradictions)
        kept.append(candidates[0])
        differences += [
            f"{clip_id} is there twice; {candidates[0].folder} is read, {other.folder} is not"
            for other in candidates[1:]
        ]
    return kept


def _report(
    root: Path,
    release: str,
    published: Variant,
    records: list[ClipRecord],
    unusable: Mapping[str, str],
    findings: Findings,
    marker: Mapping[str, Any] | None,
) -> CorpusReport:
    by_class = count_clips(records, "class_name")
    by_subject = count_clips(records, "subject")
    expected_by_class, expected_by_subject = expected_counts(published.by_class, published.by_subject, marker)
    shortest, longest = published.num_frames_range
    findings.add("counts", *count_differences("class", by_class, expected_by_class))
    findings.add("counts", *count_differences("subject", by_subject, expected_by_subject))
    findings.add("missing", *_missing_in_sequence(records))
    findings.add("unusable", *(f"{clip_id}: {reason}" for clip_id, reason in unusable.items()))
    findings.add(
        "other",
        *(
            f"{record.clip_id} has {len(record.frames)} frames; published clips have {shortest} to {longest}"
            for record in records
            if not shortest <= len(record.frames) <= longest
        ),
    )
    return CorpusReport(
        title=f"SMIC {published.folder} ({release})",
        root=root,
        provenance="licensed" if marker is None else "surrogate",
        by_class=by_class,
        by_subject=by_subject,
        expected_by_class=expected_by_class,
        expected_by_subject=expected_by_subject,
        findings=findings.collected(),
    )


def _missing_in_sequence(records: list[ClipRecord]) -> list[str]:
    """Names the clips that a gap in the numbering gives away: it runs from 01 per subject and class."""
    indices = defaultdict(set)
    for record in records:
        stem, _, index = record.clip_id.rpartition("_")
        indices[stem].add(int(index))
    return [
        f"{stem}_{index:02d} is missing from the sequence"
        for stem in sorted(indices, key=natural_key)
        for index in range(1, max(indices[stem]))
        if index not in indices[stem]
    ]
