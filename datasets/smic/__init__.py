"""SMIC: spontaneous micro-expressions of 16 people at 100 frames per second."""

from datasets.smic.smic_dataset_builder import Builder as Builder  # registers the corpus with TFDS
