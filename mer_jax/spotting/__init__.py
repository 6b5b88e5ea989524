"""Spotting: intervals of facial movement in long videos, and the measure of how well they are found."""
