"""The composite of MEGC 2019: CASME II, SAMM and SMIC HS, 442 clips of 68 people in three classes."""

from datasets.megc2019.megc2019_dataset_builder import Builder as Builder  # registers the corpus with TFDS
