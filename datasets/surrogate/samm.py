"""SAMM as its owners release it, filled with rendered faces.

    SAMM_Micro_FACS_Codes_v2.xlsx
    006/006_1_2/006_05562.jpg    gray, 960x650, numbered as in the recording; in SAMM_CROP the registered face

Counts by subject, emotion, objective class and inducement are those of the release, and subject 025
shows nothing but "Other"; everything else is dealt at random. What coders write down is what the
rendered face does. The text above the table is ours, in the cells where the release has its own.

Source: the corpus description of Davison et al., SAMM, IEEE TAC 9(1) (2018).
Differs: a clip's name holds the number of its inducement, which is a guess at what that number means.
The size of the registered face is not known; here it is 480x400.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from datasets.surrogate.dealing import deal_labels, match_labels
from datasets.surrogate.emotions import EMOTION_SETS, action_unit_cell, objective_class
from datasets.surrogate.identity import Subject, sample_people
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, FrameFolder, SubjectPlan, name_frames
from datasets.surrogate.portrait import Lamps
from datasets.surrogate.quirks import Targets, system_files
from datasets.surrogate.scenario import ClipSpec
from datasets.surrogate.studio import CorpusGeometry
from datasets.surrogate.workbook import Formula, IdText, Row, make_workbook

GEOMETRY = CorpusGeometry(
    height=650, width=960, fps=200.0, pixels_per_cm=25.0, eye_level=0.45, duration_s=(0.15, 0.33, 0.505),
    noise=2.0, jpeg_quality=95, tones=(0.0, 9.0), supersampling=1.2, is_gray=True,
    lamps=Lamps(azimuth=(-0.5, 0.5), elevation=(0.0, 0.4), contrast=(0.3, 0.8)),  # two arrays of LEDs before diffusers
)  # fmt: skip
FACE_SHAPE = (480, 400)
EMOTION_COUNTS = {
    "Anger": 57, "Other": 26, "Happiness": 26, "Surprise": 15, "Contempt": 12, "Disgust": 9, "Fear": 8, "Sadness": 6,
}  # fmt: skip
OBJECTIVE_COUNTS = {1: 24, 2: 13, 3: 20, 4: 8, 5: 3, 6: 7, 7: 84}
INDUCEMENT_COUNTS = {1: 27, 2: 18, 3: 31, 4: 21, 5: 19, 6: 17, 7: 26}
SUBJECT_COUNTS = {
    "006": 11, "007": 10, "009": 4, "010": 4, "011": 20, "012": 3, "013": 6, "014": 11, "015": 3, "016": 5, "017": 6,
    "018": 4, "019": 3, "020": 9, "021": 2, "022": 5, "023": 1, "024": 1, "025": 4, "026": 13, "028": 3, "030": 3,
    "031": 1, "032": 6, "033": 5, "034": 3, "035": 9, "036": 1, "037": 3,
}  # fmt: skip
NUM_SUBJECTS, NUM_CLIPS = len(SUBJECT_COUNTS), sum(SUBJECT_COUNTS.values())
# 28 subjects have a clip of a three-class scheme, all but 025; 27 have one of the five-class scheme, here all but two.
_FIXED_EMOTIONS = {"025": {"Other": 4}, "024": {"Fear": 1}, "031": {"Sadness": 1}}
_COMMON_EMOTIONS = ("Anger", "Happiness", "Surprise", "Contempt")
_FRAME_RANGE = (83, 12_349)
_NUM_NOTES = 61
_TABLE = "SAMM_Micro_FACS_Codes_v2.xlsx"
_SHEET = "MICRO_ONLY"
_HEADER = ("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
           "Action Units", "Estimated Emotion", "Objective Classes", "Notes")  # fmt: skip
_HEADER_ROW = 14  # as programs count, from 1
# Further ways in which action units are written; none of them is more than the same text in other words.
_ODD_UNITS = ("L12 or L14", "(R6 or R12)+R15", "A1B+A2C", "12+15 ", "10A/B", "7B+ ref(43)", "R14A or 17A or 24A",
              "R14+17+soft focus")  # fmt: skip


@dataclasses.dataclass(eq=False)
class _Clip:
    """A clip on its way to becoming a plan; quirks change it."""

    subject: str
    name: str
    spec: ClipSpec
    inducement: int
    objective: int
    onset: int  # number of its first frame
    action_units: int | str
    notes: str | None = None
    apex_error: int = 0  # what the table says is so much too large
    offset_error: int = 0
    num_digits: int = 5  # of a frame's number

    @property
    def offset(self) -> int:
        return self.onset + self.spec.num_frames - 1


def plan_samm(options: CorpusOptions, *, is_cropped: bool = False) -> CorpusPlan:
    """Plans the corpus.

    Args:
        options: with 159 clips and 29 subjects the published counts hold exactly; other numbers share them out in
            proportion. Subjects beyond the last are named 038, 039 and so on.
        is_cropped: the same clips cut to the registered face, as SAMM_CROP.
    """
    options.validate(1, "SAMM", has_exact=False)
    rng = np.random.default_rng([options.seed, 14])
    names = name_subjects(options.num_subjects)
    emotions = deal_labels(
        rng,
        options.num_clips,
        {name: SUBJECT_COUNTS.get(name, 5) for name in names},
        EMOTION_COUNTS,
        fixed=_FIXED_EMOTIONS,
        everybody=_COMMON_EMOTIONS,
    )
    people = sample_people(options.seed, 2000, names, GEOMETRY.tones)
    clips = _sample_clips(rng, options, people, emotions)
    root = "SAMM_CROP" if is_cropped else "SAMM"
    face_shape = options.scale_shape(FACE_SHAPE) if is_cropped else None
    tree, documents, quirks = "", {}, []
    if options.quirks:
        tree, quirks = f"{root}/", _add_quirks(clips)

    subjects = []
    for name in names:
        own = tuple(_plan_clip(clip, tree, face_shape) for clip in clips if clip.subject == name)
        subjects.append(SubjectPlan(name, (f"{tree}{name}",), people[name], own))
    documents[_TABLE] = _make_table(clips, _HEADER_ROW, has_cached_values=not options.quirks)
    if options.quirks:
        documents["SAMM_Micro_FACS_Codes.xlsx"] = _make_table(clips, _HEADER_ROW - 3, has_cached_values=True)
        documents |= system_files(subjects[0].clips[0].folders[0].folder, subjects[0].folders[0], _TABLE)
    geometry = GEOMETRY.scaled(options.scale)
    title, variant = ("SAMM (cropped)", "cropped") if is_cropped else ("SAMM", "")
    return CorpusPlan("samm", title, root, geometry, options, tuple(subjects), documents, tuple(quirks), variant)


def name_subjects(count: int) -> list[str]:
    """Returns the names of so many subjects; those beyond the last of the release are 038, 039 and so on."""
    names = list(SUBJECT_COUNTS)[:count]
    return names + [f"{38 + extra:03d}" for extra in range(count - len(names))]


def _sample_clips(
    rng: np.random.Generator, options: CorpusOptions, people: dict[str, Subject], emotions: dict[str, list[str]]
) -> list[_Clip]:
    unit_sets = {name: EMOTION_SETS["others" if name == "Other" else name.lower()] for name in EMOTION_COUNTS}
    inducements = iter(match_labels(rng, [()] * options.num_clips, INDUCEMENT_COUNTS))
    clips = []
    for name, subject in people.items():
        takes = collections.Counter()
        for emotion in emotions[name]:
            spec = options.sample_clip(20_000 + len(clips), subject, emotion, GEOMETRY, unit_sets=unit_sets)
            inducement = next(inducements)
            takes[inducement] += 1
            onset = int(rng.integers(_FRAME_RANGE[0], _FRAME_RANGE[1] - spec.num_frames))
            clip_name = f"{name}_{inducement}_{takes[inducement]}"
            clips.append(_Clip(name, clip_name, spec, inducement, 0, onset, action_unit_cell(spec)))
    wishes = [(objective_class(clip.spec.action_units),) for clip in clips]
    for clip, objective in zip(clips, match_labels(rng, wishes, OBJECTIVE_COUNTS), strict=True):
        clip.objective = objective
    num_notes = round(_NUM_NOTES / NUM_CLIPS * len(clips))
    for index in rng.permutation(len(clips))[:num_notes].tolist():
        clips[index].notes = "head moves" if np.ptp(clips[index].spec.pose[:, 0]) > 0.02 else "slight"
    return clips


def _plan_clip(clip: _Clip, tree: str, face_shape: tuple[int, int] | None) -> ClipPlan:
    numbers = range(clip.onset, clip.offset + 1)
    file_names = tuple(f"{clip.subject}_{number:0{clip.num_digits}d}.jpg" for number in numbers)
    annotation = {
        "emotion": clip.spec.class_name,
        "objective": clip.objective,
        "action_units": str(clip.action_units),
        **name_frames(clip.onset, clip.spec),
    }
    folder = FrameFolder(f"{tree}{clip.subject}/{clip.name}", file_names, face_shape)
    return ClipPlan(clip.name, clip.spec, (folder,), annotation)


def _make_table(clips: list[_Clip], header_row: int, *, has_cached_values: bool) -> bytes:
    rows = [
        (IdText(clip.subject), clip.name, clip.inducement,
         clip.onset, clip.onset + clip.spec.apex + clip.apex_error, clip.offset + clip.offset_error,
         "Micro - 1/2", clip.action_units, clip.spec.class_name, clip.objective, clip.notes)
        for clip in clips
    ]  # fmt: skip
    return make_micro_table(rows, header_row, has_cached_values=has_cached_values)


def make_micro_table(rows: Sequence[Row], header_row: int = _HEADER_ROW, *, has_cached_values: bool = True) -> bytes:
    """Builds the workbook of micro-movement annotations.

    Args:
        rows: one a clip, the cells of the release's columns without the duration, which is a formula.
        header_row: as programs count, from 1.
        has_cached_values: whether the formulas' values are stored.
    """
    preamble: list[Row] = [() for _ in range(header_row - 1)]
    preamble[0] = ("SAMM Dataset - Master FACS Codes", *(None,) * 3, "Surrogate: rendered faces")
    preamble[2] = (*(None,) * 4, "No row describes a recording", *(None,) * 3, "Made by a program")
    preamble[3] = (*(None,) * 8, "Not to be cited")
    preamble[5:8] = [("Symbol Key:",), ('"/" = or',), ('"?" = unsure',)]
    if header_row == _HEADER_ROW:
        preamble[9:12] = [("AU Help:",), ("A number is an action unit",), ("L, R: on that side only",)]
    filled = []
    for number, row in enumerate(rows, start=header_row + 1):
        cached = row[5] - row[3] + 1 if has_cached_values else None
        filled.append((*row[:6], Formula(f"=SUM(F{number}-D{number})+1", cached), *row[6:]))
    return make_workbook({_SHEET: [*preamble, _HEADER, *filled]})


def _add_quirks(clips: list[_Clip]) -> list[str]:
    """Makes of a clean corpus one like the release."""
    targets = Targets(clips, lambda clip: clip.subject)
    said = [
        "the tree lies in a folder of the same name, the tables beside it",
        "Duration has no stored values: a program dropped them",
        "SAMM_Micro_FACS_Codes.xlsx, an older table that starts three rows earlier, lies beside the current one",
        "files of operating systems",
    ]

    def say(clip: _Clip, what: str) -> None:
        said.append(f"{clip.name}: {what}")

    few = slice(1) if len(clips) < 20 else slice(None)  # a small corpus has one of each kind
    for number, subject in enumerate(("013", "013", "017", "026", "026", "035")[few]):
        if clip := targets.take(subject):
            clip.onset, clip.num_digits = 834 - 61 * number, 4
            say(clip, "frame numbers have four digits")
    for subject in ("028", "032", "032")[few]:
        if clip := targets.take(subject):
            clip.apex_error = 2 * clip.spec.num_frames
            say(clip, "the apex lies behind the offset")
    if clip := targets.take("013"):
        clip.offset_error = 54
        say(clip, "the offset lies behind the last frame")
    for text in _ODD_UNITS:
        if clip := targets.take("011"):
            clip.action_units = text
            say(clip, f"action units are written {text!r}")
    return said
