"""The TFDS builder of SAMM."""

from pathlib import Path

import tensorflow_datasets as tfds

from datasets.clip_builder import ClipBuilder, ClipConfig
from datasets.records import Corpus
from datasets.samm import reader


class Builder(ClipBuilder):
    """SAMM, prepared as clips of upper and lower halves of faces.

    Configs: one for each variant in `reader.VARIANTS` with the default options; `ClipConfig.make` makes others.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Raw and cropped trees."}  # noqa: RUF012  (TFDS's own convention)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "SAMM is given out under a licence by Manchester Metropolitan University; datasets/samm/README.md says where "
        "to ask. Unpack SAMM (or SAMM_CROP) and SAMM_Micro_FACS_Codes_v2.xlsx into manual_dir."
    )
    HOMEPAGE = "http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php"
    VARIANTS = reader.VARIANTS
    BUILDER_CONFIGS = [ClipConfig.make(variant) for variant in reader.VARIANTS]  # noqa: RUF012

    def read_corpus(self, manual_dir: Path) -> Corpus:
        """Lists the clips of this config's variant below a folder."""
        return reader.read_corpus(manual_dir, self.builder_config.variant)
