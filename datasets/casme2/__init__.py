"""CASME II: 255 micro-expressions of 26 people at 200 frames per second."""
