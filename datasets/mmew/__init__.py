"""MMEW: 300 micro-expressions at 90 frames per second."""

from datasets.mmew.mmew_dataset_builder import Builder as Builder  # registers the corpus with TFDS
