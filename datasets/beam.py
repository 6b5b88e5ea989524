"""Stage one of a build on Apache Beam: fills the same cache with any of Beam's runners.

Only records, which are paths and numbers, go through the pipeline; frames are read where a worker runs. So workers need
the corpus and the cache folder under the same paths, and this package on their path. A clip that cannot be prepared is
left to the process that collects: it meets the same error and reports it.

Beam is an extra, so import this module only where Beam is wanted.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from datasets.cached import ClipPreparer
from datasets.records import ClipRecord
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VisionOptions


class _PrepareClip(beam.DoFn):
    def __init__(self, options: VisionOptions, cache_dir: str):
        self._options, self._cache_dir = options, cache_dir

    def setup(self) -> None:
        cv2.setNumThreads(1)  # the workers are the parallelism
        self._preparer = ClipPreparer(self._options, Path(self._cache_dir))

    def process(self, record: ClipRecord) -> Iterator[str]:
        self._preparer.prepare(record)
        return iter(())

    def teardown(self) -> None:
        self._preparer.close()


def fill_cache(
    records: Sequence[ClipRecord], options: VisionOptions, cache_dir: Path, beam_options: Sequence[str]
) -> None:
    """Prepares clips on Beam and waits for the end; `beam_options` are Beam's own flags, `--runner=...` among them."""
    with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
        _ = (
            pipeline
            | "clips" >> beam.Create(list(records))
            | "spread" >> beam.Reshuffle()
            | "prepare" >> beam.ParDo(_PrepareClip(options, str(cache_dir)))
        )
