"""Inspects every clip of a source: a video, a folder, a corpus or a camera."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from mer_jax.errors import DecodeError
from mer_jax.vision.findings import Finding
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.quality import ClipQuality, inspect_clip, summarise_corpus
from mer_jax.vision.sources import ClipKind, find_clips


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
    def verdict(self) -> str:
        """`error` if it cannot be used, `warning` if something needs a look, else `ok`."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in ("error", "warning") if level in levels), "ok")


@dataclasses.dataclass(frozen=True, eq=False)
class Inspection:
    """All clips of a source.

    Attributes:
        source: What was inspected.
        options: How the clips would be prepared for a network.
        clips: Clip name to its findings and measurements, in the order of their names.
    """

    source: str
    options: VisionOptions
    clips: Mapping[str, InspectedClip]

    @property
    def overview(self) -> dict[str, dict[str, float]]:
        """For each number of the summary its median, minimum and maximum over the clips."""
        return summarise_corpus([clip.quality for clip in self.clips.values() if clip.quality is not None])

    def to_plain(self) -> dict[str, Any]:
        """Returns plain values for `json.dumps`: the content of `inspect.json`."""
        clips = {name: _plain_clip(clip) for name, clip in self.clips.items()}
        return {"source": self.source, "overview": self.overview, "clips": clips}


def inspect_source(
    source: str,
    options: VisionOptions,
    *,
    kind: ClipKind | None = None,
    seconds: float = 5.0,
    on_clip: Callable[[int, int, str], None] = lambda number, count, name: None,
) -> Inspection:
    """Finds and inspects all clips of a source.

    Args:
        source: See `sources.find_clips`.
        options: How the clips would be prepared for a network.
        kind: `clip` or `video` for all clips; None decides for each: folders of frames are clips, files are videos.
        seconds: How long a camera is recorded.
        on_clip: Called before each clip with its number, counted from 1, the number of clips, and its name.

    Raises:
        DecodeError: The source does not exist, or holds neither videos nor frames.
    """
    sources = find_clips(source, seconds)
    clips = {}
    with FaceLandmarker(with_blendshapes=True, with_pose=True) as landmarker:
        for number, each in enumerate(sources, 1):
            on_clip(number, len(sources), each.name)
            try:
                quality = inspect_clip(each.open(), landmarker, options, kind=kind or each.kind)
            except DecodeError as error:
                clips[each.name] = InspectedClip(None, (Finding("error", str(error)),))
            else:
                clips[each.name] = InspectedClip(quality, tuple(quality.findings))
    return Inspection(source, options, clips)


def _plain_clip(clip: InspectedClip) -> dict[str, Any]:
    findings = [{"level": f.level, "message": f.message, "frames": f.frames} for f in clip.findings]
    quality = clip.quality
    if quality is None:
        return {"usable": False, "findings": findings}
    summary = {name: value if math.isfinite(value) else None for name, value in quality.summary.items()}
    return {
        "usable": quality.usable, "num_frames": quality.num_frames, "frames_per_s": quality.frames_per_s,
        "summary": summary, "blinks": quality.blinks, "apex_frame": quality.apex_frame, "findings": findings,
    }  # fmt: skip
