"""Runs of experiments, and their configs."""
