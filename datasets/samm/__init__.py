"""SAMM: 159 micro-movements of 29 people at 200 frames per second."""

from datasets.samm.samm_dataset_builder import Builder as Builder  # registers the corpus with TFDS
