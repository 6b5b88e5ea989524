"""Streaming renderer of long videos: constant memory for any number of frames."""

from pathlib import Path

from datasets.surrogate.avi import AviWriter
from datasets.surrogate.camera import Camera
from datasets.surrogate.identity import Subject
from datasets.surrogate.long_scenario import LongScenario
from datasets.surrogate.studio import CorpusGeometry, make_renderer, render_clip

VIDEO_QUALITY = 85  # of the JPEG pictures in an .avi


def render_long_video(
    scenario: LongScenario,
    subject: Subject,
    geometry: CorpusGeometry,
    path: str | Path,
    *,
    anatomy_variation: float = 0.0,
    version: int = 1,
) -> None:
    """Renders a long video to an .avi file.

    Args:
        scenario: what happens.
        subject: who.
        geometry: how it is filmed; its rate is that of the scenario.
        path: the file.
        anatomy_variation: see `scenario.Difficulty`.
        version: of the surrogate, 1 or 2.

    Raises:
        CorpusError: the video is too long for one file.
        OSError: the file cannot be written.
    """
    renderer = make_renderer(subject, geometry, anatomy_variation, version=version)
    camera = Camera(geometry.shape, geometry.noise)
    with AviWriter(Path(path), geometry.shape, scenario.fps, VIDEO_QUALITY) as video:
        for frame in render_clip(renderer, camera, scenario.spec):
            video.write(frame.image)
