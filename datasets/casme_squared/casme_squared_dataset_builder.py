"""The TFDS builder of CAS(ME)^2."""

from pathlib import Path

import tensorflow_datasets as tfds

from datasets.casme_squared import reader
from datasets.clip_builder import ClipBuilder, ClipConfig
from datasets.records import Corpus


class Builder(ClipBuilder):
    """CAS(ME)^2, prepared as clips of upper and lower halves of faces.

    Configs: one for each variant in `reader.VARIANTS` with the default options; `ClipConfig.make` makes others.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Raw, selected and cropped trees."}  # noqa: RUF012  (TFDS's own convention)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "CAS(ME)^2 is given out under a licence by its authors; datasets/casme_squared/README.md says where to ask. "
        "Unpack selectedpic (or rawpic, or cropped) and CAS(ME)^2code_final.xlsx into manual_dir."
    )
    HOMEPAGE = "http://casme.psych.ac.cn/casme/e3"
    VARIANTS = reader.VARIANTS
    BUILDER_CONFIGS = [ClipConfig.make(variant) for variant in reader.VARIANTS]  # noqa: RUF012

    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""
        return reader.read_corpus(manual_dir, self.builder_config.variant)
