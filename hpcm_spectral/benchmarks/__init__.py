"""Measurements of speed and memory, as ratios of two things run side by side."""
