"""SAMM: 159 micro-movements of 29 people at 200 frames per second."""
