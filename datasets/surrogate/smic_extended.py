"""SMIC-E as its owners release it, filled with rendered faces: expressions with what was recorded around them.

    HS_long/SMIC-HS-E/s03/s3_ne_02/image017581039.jpg       subject padded, clip not
    HS_long/SMIC-HS-E/SMIC-HS-E_annotation.xlsx             sheets HS and VIS, full of formulas
    VIS_long/SMIC-VIS-E/VIS/s11/s11_po_01/VIS 06245.jpg     a space in the name

Clips per subject and class totals are those of the release. Eight subjects were filmed by both
cameras, and the HS sheet refers to the VIS sheet for them.

Source: the corpus description of Li et al. (FG 2013) and what is known of the extended release.
Differs: around an expression the recordings stand still, and are shorter (a real one of HS has 590
frames); those frames are further names of the rendered files and take no room. Where a second or
third expression is annotated, nothing is to be seen.
"""

import collections
import dataclasses

import numpy as np

from datasets.surrogate.dealing import deal_labels
from datasets.surrogate.identity import Subject, sample_subject
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, FrameFolder, SubjectPlan
from datasets.surrogate.quirks import Targets, system_files
from datasets.surrogate.scenario import ClipSpec
from datasets.surrogate.smic import CLASS_COUNTS, CLASS_TOKENS, COUNTER_RANGE, HS, VIS
from datasets.surrogate.workbook import BLANK, Cell, Formula, Row, make_workbook

SUBJECT_COUNTS = HS.subject_counts | {"s1": 5, "s2": 5, "s3": 37, "s4": 17, "s9": 3}
_EMOTION_COUNTS = {"HS": {"positive": 51, "negative": 65, "surprise": 41}, "VIS": VIS.class_counts}
_RATE = 4  # frames of HS for one of VIS
_HS_HEADER = ("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None,
              "FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion")  # fmt: skip
_VIS_HEADER = ("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", None, "FirstF", "TotalMF1",
               "TotalMF2", "TotalVL", "Emotion")  # fmt: skip
_WIDTHS = {"HS": 19, "VIS": 15}  # columns of the sheets, two of them empty at the end
_EMPTY_ROWS = {"HS": 6, "VIS": 8}  # after the last clip, yet within the sheet
_ERROR = 8_500  # frames by which one onset is annotated too late


@dataclasses.dataclass(eq=False)
class _Take:
    """A clip as one camera has it; numbers are its own counter's."""

    first: int
    lead: int  # frames before the onset
    total: int
    spec: ClipSpec

    @property
    def onset(self) -> int:
        return self.first + self.lead

    @property
    def offset(self) -> int:
        return self.onset + self.spec.num_frames - 1

    @property
    def last(self) -> int:
        return self.first + self.total - 1


@dataclasses.dataclass(eq=False)
class _Clip:
    """A row of the annotation; quirks change it."""

    subject: str
    name: str
    emotion: str  # as annotated
    hs: _Take
    vis: _Take | None  # of the eight subjects filmed by both
    second: tuple[int, int] | None = None  # frames of a second expression, from the first frame on, by the slow camera
    onset_error: int = 0


def plan_smic_extended(options: CorpusOptions, camera: str = "HS") -> CorpusPlan:
    """Plans one camera of SMIC-E.

    Args:
        options: with 157 clips of 16 subjects (VIS: 71 of 8) the published counts hold exactly; other numbers share
            them out in proportion, and there are no further subjects.
        camera: "HS" or "VIS".
    """
    title = f"SMIC-E {camera}"
    counts = dict(SUBJECT_COUNTS) if camera == "HS" else dict(VIS.subject_counts)
    options.validate(len(CLASS_COUNTS), title, has_exact=False, max_subjects=len(counts))
    # The annotation begins with s20; its first rows are the subjects that the slow camera filmed too.
    names = sorted(counts, key=lambda name: -int(name[1:]))[: options.num_subjects]
    rng = np.random.default_rng([options.seed, 18, camera == "VIS"])
    emotions = deal_labels(
        rng,
        options.num_clips,
        {name: counts[name] for name in names},
        {name: _EMOTION_COUNTS[camera][name] for name in CLASS_COUNTS},
    )
    known = list(HS.subject_counts)
    people = {name: sample_subject(options.seed, known.index(name), HS.geometry.tones) for name in names}
    clips = _sample_clips(rng, options, people, emotions)
    tree = f"{camera}_long/SMIC-{camera}-E" + ("/VIS" if camera == "VIS" else "")
    table = f"{camera}_long/SMIC-{camera}-E/" + {"HS": "SMIC-HS-E_annotation", "VIS": "SMIC_VIS_E_annotation"}[camera]
    quirks = _add_quirks(clips) if options.quirks else []
    subjects = tuple(
        _plan_subject(name, people[name], [clip for clip in clips if clip.subject == name], tree, camera)
        for name in names
    )
    documents = {f"{table}.xlsx": _make_table(clips, camera)}
    if options.quirks:
        documents |= system_files(subjects[0].clips[0].folders[0].folder, subjects[0].folders[0], f"{table}.xlsx")
        quirks.append("files of operating systems")
        if camera == "HS":
            documents[f"{table}_orig.xlsx"] = _make_older_table(clips)
            quirks.append("an older annotation, with a text for a frame number, lies beside the current one")
    geometry = (HS if camera == "HS" else VIS).geometry.scaled(options.scale)
    return CorpusPlan(
        "smic", title, "SMIC-E_raw image", geometry, options, subjects, documents, tuple(quirks), f"{camera.lower()}_e"
    )


def _sample_clips(
    rng: np.random.Generator, options: CorpusOptions, people: dict[str, Subject], emotions: dict[str, list[str]]
) -> list[_Clip]:
    clips = []
    for name, subject in people.items():
        seen = collections.Counter()
        hs_counter = round(np.exp(rng.uniform(*np.log(COUNTER_RANGE))))
        vis_counter = int(rng.integers(*VIS.counter_range))
        for emotion in emotions[name]:
            seen[emotion] += 1
            number = 60_000 + 2 * len(clips)
            hs_spec, vis_spec = (
                options.sample_clip(number + slow, subject, emotion, release.geometry)
                for slow, release in enumerate((HS, VIS))
            )
            lead, tail = rng.integers(15, 35, 2).tolist()  # by the slow camera
            total = lead + max(vis_spec.num_frames, -(-hs_spec.num_frames // _RATE)) + tail
            vis = _Take(vis_counter, lead, total, vis_spec) if name in VIS.subject_counts else None
            hs = _Take(hs_counter, _RATE * lead, _RATE * total, hs_spec)
            clips.append(_Clip(name, f"{name}_{CLASS_TOKENS[emotion]}_{seen[emotion]:02d}", emotion, hs, vis))
            vis_counter += total + int(rng.integers(100, 900))
            hs_counter += _RATE * total + int(rng.integers(200, 9_000))
    return clips


def _plan_subject(name: str, subject: Subject, clips: list[_Clip], tree: str, camera: str) -> SubjectPlan:
    folder = f"{tree}/s{int(name[1:]):02d}"
    file_name = "image{:06d}.jpg" if camera == "HS" else "VIS {:05d}.jpg"
    plans, copies = [], {}
    for clip in clips:
        take, place = (clip.hs if camera == "HS" else clip.vis), f"{folder}/{clip.name}"
        names = {number: file_name.format(number) for number in range(take.first, take.last + 1)}
        shown = tuple(names[number] for number in range(take.onset, take.offset + 1))
        for number, each in names.items():
            if not take.onset <= number <= take.offset:
                copies[f"{place}/{each}"] = f"{place}/{shown[0 if number < take.onset else -1]}"
        annotation = {
            "emotion": clip.emotion,
            "first_frame": take.first,
            "onset_frame": take.onset,
            "offset_frame": take.offset,
            "last_frame": take.last,
        }
        spec = dataclasses.replace(take.spec, class_name=clip.emotion)
        plans.append(ClipPlan(clip.name, spec, (FrameFolder(place, shown),), annotation))
    return SubjectPlan(name, (folder,), subject, tuple(plans), copies)


def _make_table(clips: list[_Clip], camera: str) -> bytes:
    both = [clip for clip in clips if clip.vis is not None]
    sheets = {"VIS": [_VIS_HEADER, *(_vis_row(clip, row) for row, clip in enumerate(both, start=2))]}
    if camera == "HS":
        sheets = {"HS": [_HS_HEADER, *(_hs_row(clip, row) for row, clip in enumerate(clips, start=2))], **sheets}
    for name, rows in sheets.items():
        rows += [(BLANK,) * _WIDTHS[name]] * _EMPTY_ROWS[name]
    return make_workbook(sheets | ({"Sheet2": [], "Sheet3": []} if camera == "HS" else {}))


def _vis_row(clip: _Clip, row: int) -> Row:
    take, second = clip.vis, _second_of(clip)
    frames = (take.onset, take.offset, *(second or (None, None)))
    return (int(clip.subject[1:]), clip.name, None, *frames, None, take.first,
            Formula(f"=E{row}-D{row}+1", take.spec.num_frames),
            Formula(f"=G{row}-F{row}", second[1] - second[0]) if second else None,
            take.total, clip.emotion)  # fmt: skip


def _second_of(clip: _Clip) -> tuple[int, int] | None:
    """Onset and offset of a second expression by the slow camera's counter."""
    return clip.second and (clip.vis.first + clip.second[0], clip.vis.first + clip.second[1])


def _hs_row(clip: _Clip, row: int) -> Row:
    take, later = clip.hs, _later_expressions(clip, row)
    onset = take.onset + clip.onset_error
    first: Cell = take.first
    last: Cell = Formula(f"=K{row}+P{row}-1", take.last)
    total: Cell = take.total
    if clip.vis is not None:
        first = Formula(f"=D{row}-100*(VIS!D{row}-VIS!I{row})/25", take.first + clip.onset_error)
        last = Formula(f"=K{row}+100*(VIS!L{row})/25-1", take.last + clip.onset_error)
        total = Formula(f"=L{row}-K{row}+1", take.total)
    offset = Formula(f"=D{row}+M{row}-1", onset + take.spec.num_frames - 1)
    return (int(clip.subject[1:]), clip.name, None, onset, offset, *later[:4], None, first, last,
            take.spec.num_frames, *later[4:], total, clip.emotion)  # fmt: skip


def _later_expressions(clip: _Clip, row: int) -> tuple[Cell, ...]:
    """Cells of the second and third expression: onset, offset, onset, offset, and how long each lasts."""
    if clip.second is None:
        return (None,) * 6
    onset, offset = (clip.hs.first + _RATE * frame for frame in clip.second)
    if clip.vis is None:
        return (onset, offset, None, None, offset - onset + 1, None)
    # The formulas of the third refer to the columns beside those meant: one is empty, the other is FirstF.
    garbage = clip.hs.onset - _RATE * clip.vis.onset
    return (
        Formula(f"=D{row}+100*(VIS!F{row}-VIS!D{row})/25", onset),
        Formula(f"=D{row}+100*(VIS!G{row}-VIS!D{row})/25", offset),
        Formula(f"=D{row}+100*(VIS!H{row}-VIS!D{row})/25", garbage),
        Formula(f"=D{row}+100*(VIS!I{row}-VIS!D{row})/25", clip.hs.first),
        Formula(f"=G{row}-F{row}", offset - onset),
        Formula(f"=H{row}-G{row}", garbage - offset),
    )


def _make_older_table(clips: list[_Clip]) -> bytes:
    """The annotation before third expressions were added; a recording that is lost has a text for its first frame."""
    header = (*_HS_HEADER[:7], None, "FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalVL", "Emotion")
    rows: list[Row] = []
    for clip in clips:
        take = clip.hs
        rows.append((int(clip.subject[1:]), clip.name, None, take.onset, take.offset, None, None, None, take.first,
                     take.last, take.spec.num_frames, None, take.total, clip.emotion))  # fmt: skip
    nothing = (None,) * 3
    lost = (3, "s3_ne_97", None, 427_100, 427_130, *nothing, "MISSING <-426679", None, 31, None, None, "negative")
    return make_workbook({"HS": [header, *rows, lost]})


def _add_quirks(clips: list[_Clip]) -> list[str]:
    """Makes of a clean annotation one like the release's."""
    targets, said = Targets(clips, lambda clip: clip.subject), []
    if clip := targets.take("s1", lambda clip: clip.vis is None):
        clip.onset_error = _ERROR
        said.append(f"{clip.name}: the onset is annotated {_ERROR} frames too late, outside the recording")
    if clip := targets.take("s18", lambda clip: clip.emotion == "surprise"):
        clip.emotion = "negative"
        said.append(f"{clip.name}: annotated negative, named surprise")
    for subject in ("s20", "s3", "s20", "s4", "s20", "s9", "s18", "s18")[: 2 + len(clips) // 20]:
        if clip := targets.take(subject):
            start = clip.hs.total // _RATE - 10
            clip.second = (start, start + 7)
            broken = ", and a third by formulas that refer to wrong columns" if clip.vis is not None else ""
            said.append(f"{clip.name}: a second expression is annotated{broken}")
    return said
