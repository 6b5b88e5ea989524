"""CASME II as its owners release it, filled with rendered faces.

    CASME2-coding-20140508.xlsx, CASME2-ObjectiveClasses.xlsx
    CASME2_RAW/CASME2-RAW/sub01/EP02_01f/img1.jpg    the whole recording
    CASME2_RAW_selected/sub01/EP02_01f/img46.jpg     onset to offset, numbered as in the recording
    Cropped/sub01/EP02_01f/reg_img46.jpg             the registered face, the same numbers

Counts by subject, emotion and objective class are those of the release, and who shows none of the
emotions of three-class schemes; everything else is dealt at random. What coders write down is what
the rendered face does. The .avi files are not made.

Source: the corpus description of Yan et al., CASME II, PLoS ONE 9(1):e86041 (2014).
Differs: before the onset and after the offset the recordings stand still; their frames are further
names of the rendered files and take no room.
"""

import dataclasses

import numpy as np

from datasets.surrogate.dealing import deal_labels, match_labels
from datasets.surrogate.emotions import EMOTION_SETS, action_unit_cell, objective_class
from datasets.surrogate.identity import Subject, sample_people
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, FrameFolder, SubjectPlan, name_frames
from datasets.surrogate.portrait import Lamps
from datasets.surrogate.quirks import Targets, system_files
from datasets.surrogate.scenario import ClipSpec
from datasets.surrogate.studio import CorpusGeometry
from datasets.surrogate.workbook import Cell, IdText, Row, make_csv, make_workbook

GEOMETRY = CorpusGeometry(
    height=480, width=640, fps=200.0, pixels_per_cm=17.5, eye_level=0.46,
    duration_s=(0.12, 0.315, 0.705), noise=2.5, jpeg_quality=95, tones=(1.0, 4.5), supersampling=1.4,
    lamps=Lamps(azimuth=(-0.35, 0.35), elevation=(0.2, 0.5), contrast=(0.4, 0.9)),  # four LED lamps with reflectors
)  # fmt: skip
FACE_SHAPE, FACE_SHAPE_SPREAD = (340, 280), 8  # height and width of the registered face; they vary a little by clip
EMOTION_COUNTS = {
    "others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2,
}  # fmt: skip
OBJECTIVE_COUNTS = {1: 25, 2: 15, 3: 99, 4: 26, 5: 20, 6: 1, 7: 69}
SUBJECT_COUNTS = {
    "sub01": 9, "sub02": 13, "sub03": 7, "sub04": 5, "sub05": 19, "sub06": 5, "sub07": 9, "sub08": 3, "sub09": 14,
    "sub10": 14, "sub11": 10, "sub12": 12, "sub13": 8, "sub14": 4, "sub15": 3, "sub16": 4, "sub17": 36, "sub18": 3,
    "sub19": 16, "sub20": 11, "sub21": 2, "sub22": 2, "sub23": 12, "sub24": 10, "sub25": 7, "sub26": 17,
}  # fmt: skip
NUM_SUBJECTS, NUM_CLIPS = len(SUBJECT_COUNTS), sum(SUBJECT_COUNTS.values())
# Who has the rare emotions; sub10 and sub18 have nothing that three-class schemes count.
_FIXED_EMOTIONS = {
    "sub10": {"fear": 1, "others": 13}, "sub18": {"others": 3}, "sub09": {"fear": 1}, "sub17": {"sadness": 2},
    "sub19": {"sadness": 1}, "sub24": {"sadness": 3}, "sub26": {"sadness": 1},
}  # fmt: skip
_THREE_CLASS_EMOTIONS = ("disgust", "happiness", "repression", "surprise")
# Published schemes leave these out by name, because of what is wrong with them in the release.
_DEFECTIVE = {("sub04", "EP12_01f"), ("sub05", "EP09_05f"), ("sub24", "EP02_07")}
_MAX_FRAME, _MAX_ONSET = 446, 250
_FRAMES_AFTER = 20  # of a recording, after the offset
_TABLE = "CASME2-coding-20140508.xlsx"
_HEADER = ("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
           "Estimated Emotion")  # fmt: skip


@dataclasses.dataclass(eq=False)
class _Clip:
    """A clip on its way to becoming a plan; quirks change it."""

    subject: str
    name: str
    spec: ClipSpec
    onset: int  # number of its first frame
    apex: Cell  # what the table says
    action_units: int | str
    objective: int
    face_shape: tuple[int, int]
    is_annotated: bool = True
    lacks_face: int | None = None  # a frame that the cropped tree lacks

    @property
    def offset(self) -> int:
        return self.onset + self.spec.num_frames - 1

    def move(self, onset: int) -> None:
        self.apex, self.onset = onset + self.spec.apex, onset


def plan_casme2(options: CorpusOptions, *, has_defects: bool = False) -> CorpusPlan:
    """Plans the corpus.

    Args:
        options: with 255 clips and 26 subjects the published counts hold exactly; other numbers share them out in
            proportion. Subjects beyond the last are named sub27, sub28 and so on.
        has_defects: whether the two clips are there that published schemes leave out by name; with quirks they are
            there in any case, and defective.
    """
    options.validate(1, "CASME II", has_exact=False)
    rng = np.random.default_rng([options.seed, 12])
    names = [f"sub{1 + index:02d}" for index in range(options.num_subjects)]
    emotions = deal_labels(
        rng,
        options.num_clips,
        {name: SUBJECT_COUNTS.get(name, 10) for name in names},
        EMOTION_COUNTS,
        fixed=_FIXED_EMOTIONS,
        everybody=_THREE_CLASS_EMOTIONS,
    )
    people = sample_people(options.seed, 1000, names, GEOMETRY.tones)
    clips = _sample_clips(rng, options, people, emotions)
    quirks, documents = [], {}
    if has_defects:
        _name_defective(clips)
    if options.quirks:
        quirks = _add_quirks(clips, options, people)
    release = "CASME2_RAW_selected"
    if options.quirks:
        release = f"{release}/{release}"
        quirks.append("CASME2_RAW_selected lies in a folder of the same name, Cropped does not")

    subjects = []
    for name in names:
        own = [clip for clip in clips if clip.subject == name]
        folders = (f"{release}/{name}", f"Cropped/{name}", f"CASME2_RAW/CASME2-RAW/{name}")
        copies = {path: source for clip in own for path, source in _recording(clip, folders).items()}
        plans = tuple(_plan_clip(clip, folders) for clip in own)
        subjects.append(SubjectPlan(name, folders, people[name], plans, copies))
    rows = [_row(clip) for clip in clips if clip.is_annotated]
    documents[_TABLE] = make_workbook({"Sheet1": [_HEADER, *rows], "Sheet2": [], "Sheet3": []})
    documents["CASME2-ObjectiveClasses.xlsx"] = _objective_table(clips)
    if options.quirks:
        documents["CASME2-coding-20190701.csv"] = make_csv([_HEADER, *rows])
        first = subjects[0]
        documents |= system_files(first.clips[0].folders[0].folder, first.folders[0], _TABLE)
        quirks.append("files of operating systems, and a .csv of the annotation beside the .xlsx")
    geometry = GEOMETRY.scaled(options.scale)
    return CorpusPlan(
        "casme2", "CASME II", "CASME2", geometry, options, tuple(subjects), documents, tuple(quirks),
        "megc2019" if has_defects else "",
    )  # fmt: skip


def _name_defective(clips: list[_Clip]) -> None:
    """Gives a clip each of sub04 and sub05 the name that schemes leave out."""
    for subject, name in sorted(_DEFECTIVE - {("sub24", "EP02_07")}):
        own = [clip for clip in clips if clip.subject == subject and clip.spec.class_name in ("disgust", "repression")]
        if own:
            _rename(clips, own[0], name)


def _sample_clips(
    rng: np.random.Generator, options: CorpusOptions, people: dict[str, Subject], emotions: dict[str, list[str]]
) -> list[_Clip]:
    clips = []
    for name, subject in people.items():
        for clip_name, emotion in zip(_clip_names(rng, name, len(emotions[name])), emotions[name], strict=True):
            spec = _sample_spec(options, subject, emotion, len(clips))
            onset = int(rng.integers(4, min(_MAX_ONSET, _MAX_FRAME - spec.num_frames)))
            face_shape = _face_shape(rng, options)
            clips.append(_Clip(name, clip_name, spec, onset, onset + spec.apex, action_unit_cell(spec), 0, face_shape))
    wishes = [(objective_class(clip.spec.action_units),) for clip in clips]
    for clip, objective in zip(clips, match_labels(rng, wishes, OBJECTIVE_COUNTS), strict=True):
        clip.objective = objective
    return clips


def _sample_spec(options: CorpusOptions, subject: Subject, emotion: str, number: int) -> ClipSpec:
    unit_sets = {emotion: EMOTION_SETS[emotion] for emotion in EMOTION_COUNTS}
    return options.sample_clip(10_000 + number, subject, emotion, GEOMETRY, unit_sets=unit_sets)


def _face_shape(rng: np.random.Generator, options: CorpusOptions) -> tuple[int, int]:
    return options.scale_shape(FACE_SHAPE + rng.integers(-FACE_SHAPE_SPREAD, FACE_SHAPE_SPREAD + 1, 2))


def _clip_names(rng: np.random.Generator, subject: str, count: int) -> list[str]:
    """Names like EP02_01f: film, take, and an f on about half."""
    takes: dict[int, int] = {}
    for film in sorted(rng.integers(1, 20, count).tolist()):
        takes[film] = takes.get(film, 0) + 1
    names = []
    for film, number in takes.items():
        for take in range(1, number + 1):
            name = f"EP{film:02d}_{take:02d}" + "f" * int(rng.random() < 0.5)
            if (subject, name) in _DEFECTIVE:
                name = name.removesuffix("f") if name.endswith("f") else name + "f"
            names.append(name)
    return names


def _recording(clip: _Clip, folders: tuple[str, str, str]) -> dict[str, str]:
    """The files of the whole recording, each with the frame that it repeats."""
    numbers = range(1, clip.offset + 1 + _FRAMES_AFTER)
    shown = (min(max(number, clip.onset), clip.offset) for number in numbers)
    selected, recording = f"{folders[0]}/{clip.name}", f"{folders[2]}/{clip.name}"
    return {
        f"{recording}/img{number}.jpg": f"{selected}/img{frame}.jpg"
        for number, frame in zip(numbers, shown, strict=True)
    }


def _plan_clip(clip: _Clip, folders: tuple[str, str, str]) -> ClipPlan:
    numbers = range(clip.onset, clip.offset + 1)
    faces = tuple(None if number == clip.lacks_face else f"reg_img{number}.jpg" for number in numbers)
    whole = FrameFolder(f"{folders[0]}/{clip.name}", tuple(f"img{number}.jpg" for number in numbers))
    cropped = FrameFolder(f"{folders[1]}/{clip.name}", faces, clip.face_shape)
    annotation = {
        "emotion": clip.spec.class_name,
        "objective": clip.objective,
        "action_units": str(clip.action_units),
        **name_frames(clip.onset, clip.spec),
    }
    clip_id = f"{clip.subject}_{clip.name}"
    return ClipPlan(clip_id, clip.spec, (whole, cropped), annotation, clip.is_annotated)


def _row(clip: _Clip) -> Row:
    subject = IdText(clip.subject.removeprefix("sub"))
    frames = (clip.onset, clip.apex, clip.offset)
    return (subject, clip.name, None, *frames, None, clip.action_units, clip.spec.class_name)


def _objective_table(clips: list[_Clip]) -> bytes:
    rows = [
        (IdText(clip.subject.removeprefix("sub")), clip.name, clip.objective) for clip in clips if clip.is_annotated
    ]
    left_over = [(*row, *(None,) * 8, "?") for row in rows[:10]]  # without a header, and of no meaning
    return make_workbook({"Sheet1": [("Subject", "Filename", "Objective Class"), *rows], "Sheet2": left_over})


def _add_quirks(clips: list[_Clip], options: CorpusOptions, people: dict[str, Subject]) -> list[str]:
    """Makes of a clean corpus one like the release."""
    targets, said = Targets(clips, lambda clip: clip.subject), []

    def say(clip: _Clip, what: str) -> None:
        said.append(f"{clip.subject}/{clip.name}: {what}")

    if clip := targets.take("sub04", lambda clip: clip.spec.class_name == "disgust"):
        if clip.subject == "sub04":
            _rename(clips, clip, "EP12_01f")
        clip.apex = "/"
        say(clip, "the apex is the text '/'")
    if clip := targets.take("sub05", lambda clip: clip.spec.class_name in ("disgust", "repression")):
        if clip.subject == "sub05":
            _rename(clips, clip, "EP09_05f")
        clip.apex = clip.onset
        say(clip, "the apex is the onset")
    if clip := targets.take("sub24", lambda clip: clip.subject != clips[0].subject):
        _rename(clips, clip, clips[0].name)
        say(clip, f"{clips[0].subject} has a clip of this name too")
    if clip := targets.take("sub16"):
        clip.lacks_face = clip.onset + clip.spec.num_frames // 2
        say(clip, f"frame {clip.lacks_face} is missing in Cropped")
    for subject, onset in (("sub01", 7), ("sub02", 95)):
        if clip := targets.take(subject):
            clip.move(onset)
            say(clip, "frame numbers gain a digit within the clip")
    irregular = (("sub03", "EP01_2"), ("sub03", "EP08_1"), ("sub09", "EP09f"), ("sub07", "EP06_02_01"),
                 ("sub07", "EP06_02_02"))  # fmt: skip
    for subject, name in irregular:
        if clip := targets.take(subject):
            _rename(clips, clip, name)
            say(clip, "an irregular name")
    for subject in ("sub05", "sub12", "sub20", "sub25"):
        if clip := targets.take(subject):
            clip.apex = clip.offset
            say(clip, "the apex is the offset")

    rng = np.random.default_rng([options.seed, 13])
    names = list(people)
    for number, (subject, name) in enumerate((("sub09", "EP02_02f"), ("sub24", "EP02_07"))):
        owner = subject if subject in people else names[-1]
        spec = _sample_spec(options, people[owner], "disgust", NUM_CLIPS + 5000 + number)
        extra = _Clip(owner, "", spec, 60, 60 + spec.apex, 0, 7, _face_shape(rng, options), is_annotated=False)
        clips.append(extra)
        _rename(clips, extra, name)
        say(extra, "a folder without a row")
    return said


def _rename(clips: list[_Clip], clip: _Clip, name: str) -> None:
    """Renames a clip; a clip of the same subject that has the name gets another."""
    for other in clips:
        if other is not clip and (other.subject, other.name) == (clip.subject, name):
            taken = {each.name for each in clips if each.subject == clip.subject}
            other.name = next(free for take in range(1, 100) if (free := f"EP20_{take:02d}") not in taken)
    clip.name = name
