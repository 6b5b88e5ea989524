"""SMIC-HS as its owners release it, filled with rendered faces.

    SMIC_all_raw/HS/s3/micro/negative/s3_ne_01/image034208.bmp

Subject names, clips per subject, class totals, frame size and rate are those of the release; how
the classes fall on the subjects is random, and no person or picture of the corpus stands behind it.

Source: the corpus description of Li et al., A Spontaneous Micro-expression Database (FG 2013).
Differs: the file names end in .bmp as in the release, but by default hold JPEG of high quality
(every decoder looks at the content), which is a fraction of the size.
"""

import numpy as np

from datasets.surrogate.identity import sample_subject
from datasets.surrogate.plan import ClipPlan, CorpusOptions, CorpusPlan, FrameFolder, SubjectPlan, apportion
from datasets.surrogate.scenario import DIFFICULTIES, sample_clip
from datasets.surrogate.studio import CorpusGeometry

GEOMETRY = CorpusGeometry(
    height=480,
    width=640,
    fps=100.0,
    pixels_per_cm=12.5,
    eye_level=0.46,
    duration_s=(0.11, 0.32, 0.58),
    noise=2.5,
    jpeg_quality=92,
    tones=(0.0, 9.0),
    supersampling=1.5,
)
CLASS_COUNTS = {"positive": 51, "negative": 70, "surprise": 43}
CLASS_TOKENS = {"positive": "po", "negative": "ne", "surprise": "sur"}
# Twenty were recorded; 7, 10, 16 and 17 showed no micro-expression.
SUBJECT_COUNTS = {
    "s1": 6, "s2": 6, "s3": 39, "s4": 19, "s5": 2, "s6": 4, "s8": 13, "s9": 4,
    "s11": 7, "s12": 9, "s13": 10, "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
}  # fmt: skip
COUNTER_RANGE = (33_736, 32_000_000)  # of the camera, which never restarts within a subject


def plan_smic(options: CorpusOptions) -> CorpusPlan:
    """Plans the corpus.

    Args:
        options: with the 164 clips and 16 subjects of the release, its counts hold exactly; other numbers share them
            out in proportion. Subjects beyond the sixteenth are named s21, s22 and so on.

    Raises:
        ConfigError: if an option is out of its range.
    """
    options.validate(len(CLASS_COUNTS))
    rng = np.random.default_rng([options.seed, 5])
    names = _subject_names(options.num_subjects)
    weights = [SUBJECT_COUNTS.get(name, 10) for name in names]
    clips_of_subject = apportion(options.num_clips, weights)
    clips_of_class = apportion(options.num_clips, list(CLASS_COUNTS.values()))
    labels = iter(rng.permutation(np.repeat(list(CLASS_COUNTS), clips_of_class)).tolist())

    difficulty = DIFFICULTIES[options.difficulty]
    number = 0  # of the clip in the corpus; seeds it
    subjects = []
    for index, (name, count) in enumerate(zip(names, clips_of_subject, strict=True)):
        subject = sample_subject(options.seed, index, GEOMETRY.tones)
        counter = round(np.exp(rng.uniform(*np.log(COUNTER_RANGE))))
        seen = dict.fromkeys(CLASS_COUNTS, 0)
        clips = []
        for _ in range(count):
            class_name = next(labels)
            seen[class_name] += 1
            clip_rng = np.random.default_rng([options.seed, 9, number])
            spec = sample_clip(
                clip_rng, subject, class_name, difficulty, fps=GEOMETRY.fps, duration_s=GEOMETRY.duration_s
            )
            clip_id = f"{name}_{CLASS_TOKENS[class_name]}_{seen[class_name]:02d}"
            folder = f"HS/{name}/micro/{class_name}/{clip_id}"
            file_names = tuple(f"image{counter + frame:06d}.bmp" for frame in range(spec.num_frames))
            clips.append(ClipPlan(clip_id, spec, (FrameFolder(folder, file_names),)))
            counter += spec.num_frames + int(rng.integers(200, 9_000))
            number += 1
        subjects.append(SubjectPlan(name, (f"HS/{name}",), subject, tuple(clips)))
    return CorpusPlan("smic", "SMIC", "SMIC_all_raw", GEOMETRY.scaled(options.scale), options, tuple(subjects))


def _subject_names(count: int) -> list[str]:
    names = list(SUBJECT_COUNTS)[:count]
    return names + [f"s{21 + extra}" for extra in range(count - len(names))]
