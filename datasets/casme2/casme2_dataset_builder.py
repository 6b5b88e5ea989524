"""The TFDS builder of CASME II."""

from pathlib import Path

import tensorflow_datasets as tfds

from datasets.casme2 import reader
from datasets.clip_builder import ClipBuilder, ClipConfig
from datasets.records import Corpus


class Builder(ClipBuilder):
    """CASME II, prepared as clips of upper and lower halves of faces.

    Configs: one for each variant in `reader.VARIANTS` with the default options; `ClipConfig.make` makes others.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Raw, selected and cropped trees."}  # noqa: RUF012  (TFDS's own convention)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "CASME II is given out under a licence by its authors; datasets/casme2/README.md says where to ask. "
        "Unpack CASME2_RAW_selected (or CASME2_RAW, or Cropped) and CASME2-coding-20140508.xlsx into manual_dir."
    )
    HOMEPAGE = "http://casme.psych.ac.cn/casme/e2"
    VARIANTS = reader.VARIANTS
    BUILDER_CONFIGS = [ClipConfig.make(variant) for variant in reader.VARIANTS]  # noqa: RUF012

    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""
        return reader.read_corpus(manual_dir, self.builder_config.variant)
