"""The TFDS builder of SMIC."""

from pathlib import Path

import tensorflow_datasets as tfds

from datasets.clip_builder import ClipBuilder, ClipConfig
from datasets.records import Corpus
from datasets.smic import reader


class Builder(ClipBuilder):
    """SMIC, prepared as clips of upper and lower halves of faces.

    Configs: one for each variant in `reader.VARIANTS` with the default options; `ClipConfig.make` makes others.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "SMIC, raw or cropped, and SMIC-E; cameras HS, VIS and NIR."}  # noqa: RUF012  (TFDS's own convention)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "SMIC is given out under a licence by the University of Oulu; datasets/smic/README.md says where to ask. "
        "Unpack SMIC_all_raw (or SMIC_all_cropped) into manual_dir."
    )
    HOMEPAGE = "https://www.oulu.fi/cmvs/node/41319"
    VARIANTS = reader.VARIANTS
    BUILDER_CONFIGS = [ClipConfig.make(variant) for variant in reader.VARIANTS]  # noqa: RUF012

    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""
        return reader.read_corpus(manual_dir, self.builder_config.variant)
