"""Clips in memory, the views that networks take of them, and augmentation on the device."""
