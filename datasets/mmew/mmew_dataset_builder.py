"""The TFDS builder of MMEW."""

from pathlib import Path

import tensorflow_datasets as tfds

from datasets.clip_builder import ClipBuilder, ClipConfig
from datasets.mmew import reader
from datasets.records import Corpus


class Builder(ClipBuilder):
    """MMEW, prepared as clips of upper and lower halves of faces.

    Configs: one for each variant in `reader.VARIANTS` with the default options; `ClipConfig.make` makes others.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012  (TFDS's own convention)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "MMEW is given out under a licence by its authors; datasets/mmew/README.md says where to ask. "
        "Unpack Micro_Expression and MMEW_Micro_Exp.xlsx into manual_dir."
    )
    HOMEPAGE = "http://www.dpailab.com/database.html"
    VARIANTS = reader.VARIANTS
    BUILDER_CONFIGS = [ClipConfig.make(variant) for variant in reader.VARIANTS]  # noqa: RUF012

    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""
        return reader.read_corpus(manual_dir, self.builder_config.variant)
