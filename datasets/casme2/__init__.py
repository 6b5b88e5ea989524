"""CASME II: 255 micro-expressions of 26 people at 200 frames per second."""

from datasets.casme2.casme2_dataset_builder import Builder as Builder  # registers the corpus with TFDS
