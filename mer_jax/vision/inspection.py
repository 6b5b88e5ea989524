"""Inspects every clip of a source: a video, a folder, a corpus or a camera."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from mer_jax.errors import DecodeError
from mer_jax.system.addresses import hide_password
from mer_jax.system.files import printable
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.quality import ClipQuality, inspect_clip, summarise_corpus
from mer_jax.vision.sources import ClipKind, find_clips
from mer_jax.vision.verdict import Finding, Reason, Verdict, judge


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far an inspection is.

    Attributes:
        clip: Number of the clip, from 1.
        num_clips: Number of clips.
        name: Name of the clip.
        frame: Frames of the clip that are done.
        num_frames: Frames of the clip to do; 0 before it is opened.
    """

    clip: int
    num_clips: int
    name: str
    frame: int
    num_frames: int


@dataclasses.dataclass(frozen=True, eq=False)
class InspectedClip:
    """One clip, measured or impossible to open.

    Attributes:
        quality: What was measured; None if the clip cannot be opened.
        findings: What is wrong or worth knowing, errors first.
    """

    quality: ClipQuality | None
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """What to do with the clip."""
        return judge(self.findings)


@dataclasses.dataclass(frozen=True, eq=False)
class Inspection:
    """All clips of a source.

    Attributes:
        source: What was inspected; of an address, without its password.
        options: How the clips would be prepared for a network.
        clips: Clip name to its findings and measurements, in natural order.
        passed_over: File suffix to the number of files that are neither videos nor frames.
    """

    source: str
    options: VisionOptions
    clips: Mapping[str, InspectedClip]
    passed_over: Mapping[str, int]

    @property
    def overview(self) -> dict[str, dict[str, float]]:
        """For each number of the summary its median, minimum and maximum over the clips."""
        return summarise_corpus([clip.quality for clip in self.clips.values() if clip.quality is not None])

    def to_plain(self) -> dict[str, Any]:
        """Returns plain values for `json.dumps`: the content of `inspect.json`."""
        clips = {printable(name): _plain_clip(clip) for name, clip in self.clips.items()}
        return {
            "source": printable(self.source), "overview": self.overview, "clips": clips,
            "passed_over": dict(self.passed_over),
        }  # fmt: skip


def inspect_source(
    source: str,
    options: VisionOptions,
    *,
    kind: ClipKind | None = None,
    seconds: float = 5.0,
    on_frame: Callable[[Progress], None] = lambda progress: None,
) -> Inspection:
    """Finds and inspects all clips of a source.

    Args:
        source: See `sources.find_clips`.
        options: How the clips would be prepared for a network.
        kind: `clip` or `video` for all clips; None decides for each: folders of frames are clips, files are videos.
        seconds: How long a camera is recorded.
        on_frame: Called before each clip and after each of its frames.

    Raises:
        DecodeError: The source does not exist, or holds neither videos nor frames.
    """
    found = find_clips(source, seconds)
    clips = {}
    with FaceLandmarker(with_blendshapes=True, with_pose=True) as landmarker:
        for number, each in enumerate(found.clips, 1):
            progress = Progress(number, len(found.clips), each.name, 0, 0)
            on_frame(progress)

            def report(done: int, total: int, progress: Progress = progress) -> None:
                on_frame(dataclasses.replace(progress, frame=done, num_frames=total))

            try:
                with each.open() as frames:
                    quality = inspect_clip(frames, landmarker, options, kind=kind or each.kind, on_frame=report)
            except DecodeError as error:
                clips[each.name] = InspectedClip(None, (Finding("error", Reason.UNREADABLE, str(error)),))
            else:
                clips[each.name] = InspectedClip(quality, tuple(quality.findings))
    return Inspection(hide_password(source), options, clips, found.passed_over)


def _plain_clip(clip: InspectedClip) -> dict[str, Any]:
    findings = [
        {"level": f.level, "reason": f.reason.name.lower(), "message": printable(f.message), "frames": f.frames}
        for f in clip.findings
    ]
    quality = clip.quality
    if quality is None:
        return {"verdict": clip.verdict.value, "usable": False, "findings": findings}
    summary = {name: value if math.isfinite(value) else None for name, value in quality.summary.items()}
    return {
        "verdict": clip.verdict.value, "usable": quality.usable, "findings": findings, "summary": summary,
        "num_frames": quality.num_frames, "frames_per_s": quality.frames_per_s, "blinks": quality.blinks,
        "apex_frame": quality.apex_frame,
    }  # fmt: skip
