"""Scores, intervals, calibration, predictions and comparisons: plain functions of arrays."""
