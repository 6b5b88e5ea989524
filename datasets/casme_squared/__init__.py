"""CAS(ME)^2: 300 macro- and 57 micro-expressions of 22 people at 30 frames per second."""

from datasets.casme_squared.casme_squared_dataset_builder import Builder as Builder  # registers the corpus with TFDS
