"""SMIC as its owners release it, filled with rendered faces.

    SMIC_all_raw/HS/s3/micro/negative/s3_ne_01/image034208.bmp        100 frames a second
    SMIC_all_raw/VIS/s11/micro/positive/s11_po_01/01234.bmp           25 frames a second; NIR the same in gray
    SMIC_all_cropped/HS/s3/micro/negative/s3_ne_01/reg_image034208.bmp

Subject names, clips per subject, class totals, frame size and rate are those of the release; how
the classes fall on the subjects is random, and no person or picture of the corpus stands behind it.

Source: the corpus description of Li et al., A Spontaneous Micro-expression Database (FG 2013).
Differs: the file names end in .bmp as in the release, but by default hold JPEG of high quality
(every decoder looks at the content), which is a fraction of the size. A subject looks the same to
every camera, but VIS and NIR show other expressions than HS, where in the release they are the same.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from datasets.surrogate.identity import sample_subject
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, FrameFolder, SubjectPlan, apportion
from datasets.surrogate.portrait import Lamps
from datasets.surrogate.quirks import Targets, system_files
from datasets.surrogate.studio import CorpusGeometry

GEOMETRY = CorpusGeometry(
    height=480, width=640, fps=100.0, pixels_per_cm=12.5, eye_level=0.46,
    duration_s=(0.11, 0.32, 0.58), noise=2.5, jpeg_quality=92, tones=(0.0, 9.0), supersampling=1.5,
    lamps=Lamps(azimuth=(-0.7, 0.7), elevation=(0.5, 1.0), contrast=(0.7, 1.3)),  # four lamps in the upper corners
)  # fmt: skip
CLASS_COUNTS = {"positive": 51, "negative": 70, "surprise": 43}
CLASS_TOKENS = {"positive": "po", "negative": "ne", "surprise": "sur"}
# Twenty were recorded; 7, 10, 16 and 17 showed no micro-expression.
SUBJECT_COUNTS = {
    "s1": 6, "s2": 6, "s3": 39, "s4": 19, "s5": 2, "s6": 4, "s8": 13, "s9": 4,
    "s11": 7, "s12": 9, "s13": 10, "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
}  # fmt: skip
COUNTER_RANGE = (33_736, 32_000_000)  # of the camera, which never restarts within a subject
FACE_SHAPE, FACE_SHAPE_SPREAD = (170, 139), 4  # height and width of the registered face; they vary a little by clip


@dataclasses.dataclass(frozen=True)
class SmicRelease:
    """One part of SMIC.

    Attributes:
        title: how people call it.
        root_name: the folder that it extracts to.
        camera: the folder below that.
        file_name: of a frame, to be formatted with its number.
        geometry: how it was filmed.
        class_counts, subject_counts: as released.
        counter_range: of the first frame's number.
        gap_range: frames between two clips.
        variant: what tells it from the others in the marker.
        stream: of random numbers; HS raw and cropped show the same, so they share it.
        turning_point: number from which file names have a digit more.
        is_cropped: whether it has registered faces instead of whole frames.
    """

    title: str = "SMIC"
    root_name: str = "SMIC_all_raw"
    camera: str = "HS"
    file_name: str = "image{:06d}.bmp"
    geometry: CorpusGeometry = GEOMETRY
    class_counts: Mapping[str, int] = dataclasses.field(default_factory=lambda: CLASS_COUNTS)
    subject_counts: Mapping[str, int] = dataclasses.field(default_factory=lambda: SUBJECT_COUNTS)
    counter_range: tuple[int, int] = COUNTER_RANGE
    gap_range: tuple[int, int] = (200, 9_000)
    variant: str = ""
    stream: int = 0
    turning_point: int = 1_000_000
    is_cropped: bool = False

    @property
    def num_subjects(self) -> int:
        """As released."""
        return len(self.subject_counts)

    @property
    def num_clips(self) -> int:
        """As released."""
        return sum(self.subject_counts.values())


HS = SmicRelease()
HS_CROPPED = dataclasses.replace(
    HS, title="SMIC (cropped)", root_name="SMIC_all_cropped", file_name="reg_image{:06d}.bmp", variant="cropped",
    is_cropped=True,
)  # fmt: skip
# Eight subjects were filmed by two slower cameras as well. NIR's classes are not published, and are taken to be VIS'.
VIS = SmicRelease(
    title="SMIC VIS", camera="VIS", file_name="{:05d}.bmp",
    geometry=dataclasses.replace(GEOMETRY, fps=25.0, duration_s=(0.24, 0.38, 0.52)),
    class_counts={"positive": 28, "negative": 23, "surprise": 20},
    subject_counts={name: SUBJECT_COUNTS[name] for name in ("s11", "s12", "s13", "s14", "s15", "s18", "s19", "s20")},
    counter_range=(6_245, 30_000), gap_range=(200, 2_000), variant="vis", stream=40_000, turning_point=100_000,
)  # fmt: skip
NIR = dataclasses.replace(
    VIS, title="SMIC NIR", camera="NIR", geometry=dataclasses.replace(VIS.geometry, is_gray=True, noise=4.0),
    variant="nir", stream=50_000,
)  # fmt: skip


def plan_smic(options: CorpusOptions, release: SmicRelease = HS) -> CorpusPlan:
    """Plans a part of the corpus.

    Args:
        options: with the clips and subjects of the release (HS: 164 and 16), its counts hold exactly; other numbers
            share them out in proportion. Subjects beyond the last are named s21, s22 and so on.
        release: which part.
    """
    options.validate(len(CLASS_COUNTS))
    rng = np.random.default_rng([options.seed, 5, release.stream] if release.stream else [options.seed, 5])
    names = _subject_names(options.num_subjects, release)
    weights = [release.subject_counts.get(name, 10) for name in names]
    clips_of_subject = apportion(options.num_clips, weights)
    clips_of_class = apportion(options.num_clips, list(release.class_counts.values()))
    labels = iter(rng.permutation(np.repeat(list(release.class_counts), clips_of_class)).tolist())

    geometry, everybody = release.geometry, _subject_names(options.num_subjects + len(SUBJECT_COUNTS), HS)
    tree = f"{release.root_name}/{release.camera}" if options.quirks else release.camera
    number = release.stream  # of the clip in the corpus; seeds it
    subjects = []
    for name, count in zip(names, clips_of_subject, strict=True):
        subject = sample_subject(options.seed, everybody.index(name), geometry.tones)
        counter = round(np.exp(rng.uniform(*np.log(release.counter_range))))
        if options.quirks and not subjects:
            counter = release.turning_point - 5
        seen = dict.fromkeys(CLASS_COUNTS, 0)
        clips = []
        for _ in range(count):
            class_name = next(labels)
            seen[class_name] += 1
            spec = options.sample_clip(number, subject, class_name, geometry)
            clip_id = f"{name}_{CLASS_TOKENS[class_name]}_{seen[class_name]:02d}"
            folder = f"{tree}/{name}/micro/{class_name}/{clip_id}"
            file_names = tuple(release.file_name.format(counter + frame) for frame in range(spec.num_frames))
            face_shape = _face_shape(options, number) if release.is_cropped else None
            clips.append(ClipPlan(clip_id, spec, (FrameFolder(folder, file_names, face_shape),)))
            counter += spec.num_frames + int(rng.integers(*release.gap_range))
            number += 1
        subjects.append(SubjectPlan(name, (f"{tree}/{name}",), subject, tuple(clips)))
    documents, quirks = {}, []
    if options.quirks:
        subjects, documents, quirks = _add_quirks(subjects, release)
    return CorpusPlan(
        "smic", release.title, release.root_name, geometry.scaled(options.scale), options, tuple(subjects), documents,
        tuple(quirks), release.variant,
    )  # fmt: skip


def _subject_names(count: int, release: SmicRelease) -> list[str]:
    names = list(release.subject_counts)[:count]
    return names + [f"s{21 + extra}" for extra in range(count - len(names))]


def _face_shape(options: CorpusOptions, number: int) -> tuple[int, int]:
    rng = np.random.default_rng([options.seed, 17, number])
    return options.scale_shape(FACE_SHAPE + rng.integers(-FACE_SHAPE_SPREAD, FACE_SHAPE_SPREAD + 1, 2))


def _add_quirks(
    subjects: list[SubjectPlan], release: SmicRelease
) -> tuple[list[SubjectPlan], dict[str, bytes], list[str]]:
    """Makes of a clean corpus one like the release."""
    said = [
        f"{release.root_name} lies in a folder of the same name",
        f"{subjects[0].clips[0].clip_id}: frame numbers gain a digit",
        "files of operating systems",
    ]
    targets = Targets([clip for subject in subjects for clip in subject.clips[1:]], lambda clip: clip.clip_id[:3])
    changed: dict[str, ClipPlan | None] = {}
    if clip := targets.take("s3_"):
        (place,) = clip.folders
        middle = len(place.file_names) // 2
        names = tuple(None if frame == middle else name for frame, name in enumerate(place.file_names))
        changed[clip.clip_id] = dataclasses.replace(clip, folders=(dataclasses.replace(place, file_names=names),))
        said.append(f"{clip.clip_id}: frame {middle} of the clip is missing")
    if release.is_cropped and (clip := targets.take("s18")):
        changed[clip.clip_id] = None
        said.append(f"{clip.clip_id}: has no folder")
    kept = []
    for subject in subjects:
        clips = tuple(new for clip in subject.clips if (new := changed.get(clip.clip_id, clip)) is not None)
        place = clips[0].folders[0]
        extra = f"{subject.folders[0]}/non_micro/{subject.name}_n1"
        copies = {f"{extra}/{release.file_name.format(frame)}": f"{place.folder}/{place.file_names[0]}"
                  for frame in range(1, 13)}  # fmt: skip
        kept.append(dataclasses.replace(subject, clips=clips, copies=copies if subject is subjects[0] else {}))
    said.append(f"{subjects[0].name} has a clip without an expression, in non_micro")
    return kept, system_files(kept[0].clips[0].folders[0].folder, kept[0].folders[0], "annotation.xlsx"), said
