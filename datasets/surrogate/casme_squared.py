"""CAS(ME)^2 as its owners release it, filled with rendered faces.

    CAS(ME)^2code_final.xlsx                            three sheets without a header
    rawpic/s15/15_0101disgustingteeth/img001.jpg        whole videos, from frame 1
    selectedpic/s15/disgust1_1/img034.jpg               each expression, numbered as in its video
    cropped/15/disgust1_1/img034.jpg                    the registered face

Counts by subject, by kind (macro or micro) and of each label within a kind are those of the release.
The face shows what the subject is said to have felt; film and coarse emotion are dealt so that they
agree with that as far as their counts allow. A macro-expression is three times as large.

Source: the corpus description of Qu et al., CAS(ME)^2, IEEE TAC 9(4) (2018).
Differs: between expressions the videos stand still and are short (a real one has 2,600 frames), so they
are no material for spotting; their frames are further names of the rendered files and take no room.
The size of the registered face is not known; here it is 240x200.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from datasets.surrogate.dealing import match_labels
from datasets.surrogate.emotions import EMOTION_SETS, action_unit_cell
from datasets.surrogate.identity import Subject, sample_people
from datasets.surrogate.plan import (
    ClipPlan,
    CorpusOptions,
    CorpusPlan,
    FrameFolder,
    SubjectPlan,
    apportion,
    name_frames,
)
from datasets.surrogate.portrait import Lamps
from datasets.surrogate.quirks import Targets, system_files
from datasets.surrogate.scenario import ClipSpec
from datasets.surrogate.studio import CorpusGeometry
from datasets.surrogate.workbook import IdText, Row, make_csv, make_workbook

GEOMETRY = CorpusGeometry(
    height=480, width=640, fps=30.0, pixels_per_cm=12.0, eye_level=0.46,
    duration_s=(0.30, 0.45, 0.57),  # of a micro-expression
    noise=2.5, jpeg_quality=90, tones=(1.0, 4.5), supersampling=1.5,
    lamps=Lamps(azimuth=(-0.8, 0.8), elevation=(0.2, 0.9), contrast=(0.5, 1.2)),  # two LED lamps and a webcam
)  # fmt: skip
FACE_SHAPE = (240, 200)
MACRO_DURATION_S = (0.2, 1.25, 3.93)
MACRO_GAIN = 3.0
# Number in the tables (1 to 22) is the position here: folder, all rows, micro-expressions among them.
SUBJECTS = (
    ("s15", 17, 2), ("s16", 54, 8), ("s19", 5, 1), ("s20", 3, 0), ("s21", 2, 0), ("s22", 16, 0), ("s23", 11, 3),
    ("s24", 32, 8), ("s25", 9, 4), ("s26", 6, 0), ("s27", 43, 11), ("s29", 1, 1), ("s30", 19, 2), ("s31", 32, 6),
    ("s32", 54, 6), ("s33", 4, 0), ("s34", 3, 0), ("s35", 2, 2), ("s36", 4, 0), ("s37", 23, 2), ("s38", 12, 1),
    ("s40", 5, 0),
)  # fmt: skip
NUM_SUBJECTS, NUM_CLIPS = len(SUBJECTS), sum(rows for _, rows, _ in SUBJECTS)
FEELING_COUNTS = {
    "micro": {"disgust": 16, "happiness": 15, "surprise": 10, "anger": 8, "fear": 4, "pain": 2, "helpless": 1,
              "sadness": 1},
    "macro": {"happiness": 132, "disgust": 58, "anger": 47, "surprise": 26, "fear": 17, "sadness": 8, "helpless": 4,
              "pain": 3, "confused": 3, "sympathy": 2},
}  # fmt: skip
COARSE_COUNTS = {
    "micro": {"negative": 21, "others": 19, "surprise": 9, "positive": 8},
    "macro": {"positive": 116, "negative": 105, "others": 63, "surprise": 16},
}
STIMULUS_COUNTS = {
    "micro": {"anger": 17, "disgust": 18, "happy": 22},
    "macro": {"anger": 85, "disgust": 70, "happy": 145},
}
FILM_COUNTS = {
    "anger": {"anger1": 54, "anger2": 48},
    "disgust": {"disgust1": 43, "disgust2": 45},
    "happy": {"happy1": 54, "happy2": 26, "happy3": 33, "happy4": 46, "happy5": 8},
}
VIDEOS = {
    "disgust1": "0101disgustingteeth", "disgust2": "0102eatingworms", "anger1": "0401girlcrashing",
    "anger2": "0402beatingpregnantwoman", "happy1": "0502funnyerrors", "happy2": "0503unnyfarting",  # sic
    "happy3": "0505funnyinnovations", "happy4": "0507climbingthewall", "happy5": "0508funnydunkey",  # sic
}  # fmt: skip
_STIMULUS_OF = {"happiness": "happy", "disgust": "disgust", "anger": "anger"}
COARSE_OF = {"happiness": "positive", "surprise": "surprise", **dict.fromkeys(("disgust", "anger", "fear", "sadness"),
              "negative")}  # fmt: skip
_TABLE = "CAS(ME)^2code_final.xlsx"
_FIRST_ONSET = 34
_CSV_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Emotion", "Type", "Self-report")


@dataclasses.dataclass(eq=False)
class _Clip:
    """An expression on its way to becoming a plan; quirks change it."""

    number: int  # of the subject in the tables
    subject: str
    kind: str
    spec: ClipSpec
    action_units: int | str
    film: str = ""
    coarse: str = ""
    name: str = ""
    onset: int = 0
    gap: int = 0  # frames of the video before it
    apex_cell: int | None = None  # what the table says, where that differs
    offset_cell: int | None = None
    feeling_cell: str | None = None
    lacks_face: bool = False

    @property
    def apex(self) -> int:
        return self.onset + self.spec.apex

    @property
    def offset(self) -> int:
        return self.onset + self.spec.num_frames - 1


def plan_casme_squared(options: CorpusOptions) -> CorpusPlan:
    """Plans the corpus.

    Args:
        options: with 357 clips and 22 subjects the published counts hold exactly; other numbers share them out in
            proportion. Subjects beyond the last are named s41, s42 and so on.
    """
    options.validate(1, "CAS(ME)^2", has_exact=False)
    rng = np.random.default_rng([options.seed, 16])
    subjects = list_subjects(options.num_subjects)
    names = [name for name, _, _ in subjects]
    people = sample_people(options.seed, 3000, names, GEOMETRY.tones)
    clips = _sample_clips(rng, options, subjects, people)
    tree, documents, quirks = "{0}", {}, []
    if options.quirks:
        tree, quirks = "{0}/{0}", _add_quirks(clips)
    _number_frames(clips)
    if options.quirks:
        _corrupt_frames(clips, quirks)

    plans = tuple(
        _plan_subject(name, people[name], [clip for clip in clips if clip.subject == name], tree, options)
        for name in names
    )
    if options.quirks:
        owner = names.index("s19") if "s19" in names else 0
        plans = (*plans[:owner], _add_stray_video(plans[owner], tree), *plans[owner + 1 :])
        quirks.append(f"{names[owner]} has the video 23_0502funnyerrors, of another subject's name and without a row")
        documents["CAS(ME)^2code_final(Updated).csv"] = make_csv([_CSV_HEADER, *map(_row, clips)])
        documents["CAS(ME)^2blink-code.xlsx"] = make_workbook({"Sheet1": [(1, clips[0].name, 1, 2, 3)]})
        documents |= system_files(plans[0].clips[0].folders[0].folder, plans[0].folders[0], _TABLE)
    first_sheet = "CASMEcode_final" if options.quirks else "CASFEcode_final"
    documents[_TABLE] = make_table([_row(clip) for clip in clips], [clip.subject for clip in clips], first_sheet)
    geometry = GEOMETRY.scaled(options.scale)
    return CorpusPlan(
        "casme_squared", "CAS(ME)^2", "CAS(ME)^2", geometry, options, plans, documents, tuple(quirks)
    )  # fmt: skip


def list_subjects(count: int) -> list[tuple[str, int, int]]:
    """Returns name and published numbers of each of so many subjects; those beyond the last are s41, s42 and so on."""
    subjects = list(SUBJECTS[:count])
    return subjects + [(f"s{41 + extra}", 16, 3) for extra in range(count - len(subjects))]


def _sample_clips(
    rng: np.random.Generator, options: CorpusOptions, subjects: list[tuple[str, int, int]], people: dict[str, Subject]
) -> list[_Clip]:
    shares = apportion(options.num_clips, [rows for _, rows, _ in subjects])
    kinds = []  # by clip: number of the subject, its name, kind
    for number, ((name, rows, num_micro), share) in enumerate(zip(subjects, shares, strict=True), start=1):
        micro = round(share * num_micro / rows)
        kinds += [(number, name, "micro" if each < micro else "macro") for each in rng.permutation(share).tolist()]
    feelings = _deal_by_kind(rng, [kind for *_, kind in kinds], FEELING_COUNTS, [()] * len(kinds))
    clips = []
    for (number, name, kind), feeling in zip(kinds, feelings, strict=True):
        spec = _sample_spec(options, people[name], feeling, kind, len(clips))
        clips.append(_Clip(number, name, kind, spec, action_unit_cell(spec)))

    by_kind = [clip.kind for clip in clips]
    coarse = _deal_by_kind(rng, by_kind, COARSE_COUNTS, _wishes(feelings, COARSE_OF))
    stimuli = _deal_by_kind(rng, by_kind, STIMULUS_COUNTS, _wishes(feelings, _STIMULUS_OF))
    for stimulus, films in FILM_COUNTS.items():
        shown = [clip for clip, each in zip(clips, stimuli, strict=True) if each == stimulus]
        for clip, film in zip(shown, match_labels(rng, [()] * len(shown), films), strict=True):
            clip.film = film
    for clip, emotion in zip(clips, coarse, strict=True):
        clip.coarse = emotion
        clip.gap = int(rng.integers(15, 60))
    clips.sort(key=lambda clip: (clip.number, clip.film))
    takes: dict[tuple[str, str], int] = {}
    for clip in clips:
        takes[clip.subject, clip.film] = take = takes.get((clip.subject, clip.film), 0) + 1
        clip.name = f"{clip.film}_{take}"
    return clips


def _deal_by_kind(
    rng: np.random.Generator, kinds: list[str], counts: Mapping[str, Mapping[str, int]], wishes: list[tuple[str, ...]]
) -> list[str]:
    """Deals labels to the clips of each kind by itself."""
    dealt = [""] * len(kinds)
    for kind, labels in counts.items():
        where = [index for index, each in enumerate(kinds) if each == kind]
        for index, label in zip(where, match_labels(rng, [wishes[each] for each in where], labels), strict=True):
            dealt[index] = label
    return dealt


def _wishes(feelings: list[str], label_of: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [(label_of[feeling],) if feeling in label_of else ("others",) for feeling in feelings]


def _sample_spec(options: CorpusOptions, subject: Subject, feeling: str, kind: str, number: int) -> ClipSpec:
    is_macro = kind == "macro"
    return options.sample_clip(
        30_000 + number,
        subject,
        feeling,
        GEOMETRY,
        unit_sets={each: EMOTION_SETS[each] for each in FEELING_COUNTS["macro"]},
        gain=MACRO_GAIN if is_macro else 1.0,
        duration_s=MACRO_DURATION_S if is_macro else None,
    )


def _number_frames(clips: list[_Clip]) -> None:
    """Lays the expressions of a video one behind the other; the order of the clips is that of their names."""
    ends: dict[tuple[str, str], int] = {}
    for clip in clips:
        end = ends.get((clip.subject, clip.film), _FIRST_ONSET - 16)
        clip.onset = end + 1 + clip.gap
        ends[clip.subject, clip.film] = clip.offset


def _plan_subject(name: str, subject: Subject, clips: list[_Clip], tree: str, options: CorpusOptions) -> SubjectPlan:
    videos, selected, cropped = (
        f"{tree.format(release)}/{folder}"
        for release, folder in (("rawpic", name), ("selectedpic", name), ("cropped", name.removeprefix("s")))
    )
    face_shape = options.scale_shape(FACE_SHAPE)
    plans, copies = [], {}
    frame, last = {}, {}  # by film: the next frame to be given, and where the last rendered one lies
    for clip in clips:
        file_names = tuple(f"img{number:03d}.jpg" for number in range(clip.onset, clip.offset + 1))
        folders = [FrameFolder(f"{selected}/{clip.name}", file_names)]
        if not clip.lacks_face:
            folders.append(FrameFolder(f"{cropped}/{clip.name}", file_names, face_shape))
        plans.append(ClipPlan(f"{name}_{clip.name}", clip.spec, tuple(folders), _annotation(clip)))
        video = f"{videos}/{_video_name(name, clip.film)}"
        sources = [f"{selected}/{clip.name}/{file_name}" for file_name in file_names]
        first = frame.get(clip.film, 1)
        still = dict.fromkeys(range(first, clip.onset), sources[0])
        for number, source in (still | dict(zip(range(clip.onset, clip.offset + 1), sources, strict=True))).items():
            copies[f"{video}/img{number:03d}.jpg"] = source
        frame[clip.film], last[clip.film] = clip.offset + 1, sources[-1]
    for film, source in last.items():  # a video does not end with its last expression
        for number in range(frame[film], frame[film] + 10):
            copies[f"{videos}/{_video_name(name, film)}/img{number:03d}.jpg"] = source
    # A subject all of whose faces are missing has no folder there; the videos, made last, are always there.
    kept = [cropped] if any(not clip.lacks_face for clip in clips) else []
    return SubjectPlan(name, (selected, *kept, videos), subject, tuple(plans), copies)


def _video_name(subject: str, film: str) -> str:
    return f"{subject.removeprefix('s')}_{VIDEOS[film]}"


def _annotation(clip: _Clip) -> dict[str, int | str]:
    return {
        "stimulus": clip.film.rstrip("0123456789"),
        "self_report": clip.spec.class_name,
        "coarse": clip.coarse,
        "kind": clip.kind,
        "action_units": str(clip.action_units),
        **name_frames(clip.onset, clip.spec),
    }


def _row(clip: _Clip) -> Row:
    apex = clip.apex if clip.apex_cell is None else clip.apex_cell
    offset = clip.offset if clip.offset_cell is None else clip.offset_cell
    feeling = clip.feeling_cell or clip.spec.class_name
    return (clip.number, clip.name, clip.onset, apex, offset, clip.action_units, clip.coarse,
            f"{clip.kind}-expression", feeling)  # fmt: skip


def make_table(rows: Sequence[Row], subjects: Sequence[str], first_sheet: str = "CASFEcode_final") -> bytes:
    """Builds the annotation workbook of the release.

    Args:
        rows: of the first sheet, one an expression.
        subjects: folder names, in the order of their numbers; further mentions of one are further rows, as in the
            release.
        first_sheet: its name.
    """
    number_of = {name: number for number, name in enumerate(dict.fromkeys(subjects), start=1)}
    people = [(int(name.removeprefix("s")), name, number_of[name]) for name in subjects]
    films = [(IdText(video[:4]), film) for film, video in VIDEOS.items()]
    return make_workbook({first_sheet: rows, "naming rule1": people, "naming rule2": films})


def _add_quirks(clips: list[_Clip]) -> list[str]:
    """What must be known before frames are numbered."""
    said = ["each tree lies in a folder of the same name, sheet 1 is called CASMEcode_final, and there is a .csv of it",
            "files of operating systems"]  # fmt: skip
    first = clips[0]
    first.gap = 1003 - first.spec.num_frames  # its video then goes on beyond 1000
    said.append(f"{first.subject}/{first.name}: frame numbers of its video gain a digit")
    return said


def _corrupt_frames(clips: list[_Clip], said: list[str]) -> None:
    """Makes of a clean table one like the release's."""
    targets = Targets(clips, lambda clip: clip.subject)

    def corrupt(subject: str, what: str, accepts=lambda clip: True, **cells) -> None:
        if clip := targets.take(subject, accepts):
            for cell, value in cells.items():
                setattr(clip, cell, value(clip) if callable(value) else value)
            said.append(f"{clip.subject}/{clip.name}: {what}")

    def is_macro(clip: _Clip) -> bool:
        return clip.kind == "macro"

    corrupt("s16", "the offset is 0: not coded", is_macro, offset_cell=0)
    corrupt("s27", "the apex lies behind the offset", apex_cell=lambda clip: clip.offset + 9)
    corrupt("s16", "'happyiness'", lambda clip: clip.spec.class_name == "happiness", feeling_cell="happyiness")
    corrupt("s15", "the apex is 0: not coded", is_macro, apex_cell=0)
    corrupt("s24", "has no folder in cropped", lacks_face=True)
    corrupt("s15", "action units are 'NULL'", action_units="NULL")
    if len(clips) < 40:
        return
    for subject, beyond in (("s31", 1), ("s32", 5)):
        corrupt(subject, "the apex lies behind the offset", apex_cell=lambda clip, beyond=beyond: clip.offset + beyond)
    share = len(clips) / NUM_CLIPS
    for _ in range(round(43 * share)):
        corrupt("", "the offset is 0: not coded", is_macro, offset_cell=0)
    for _ in range(round(15 * share)):
        corrupt("s24", "has no folder in cropped", lacks_face=True)
    for number in range(round(10 * share)):
        corrupt("", "action units are 'null'", action_units="NULL" if number % 2 else "null")
    for text in ("l12", "4 or 7", "4,7", "4+10+14+15"):
        corrupt("", f"action units are written {text!r}", action_units=text)


def _add_stray_video(plan: SubjectPlan, tree: str) -> SubjectPlan:
    folder = plan.clips[0].folders[0]
    source = f"{folder.folder}/{folder.file_names[0]}"
    stray = f"{plan.folders[-1]}/23_0502funnyerrors"
    return dataclasses.replace(
        plan, copies={**plan.copies, **{f"{stray}/img{number:03d}.jpg": source for number in range(1, 13)}}
    )
