"""MMEW: 300 micro-expressions at 90 frames per second."""
