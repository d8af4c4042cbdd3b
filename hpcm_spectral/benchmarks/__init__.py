"""Measurements of speed and memory of things that run side by side, in turns."""
