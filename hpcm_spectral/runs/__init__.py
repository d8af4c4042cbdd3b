"""A run folder: what lies in it, each file with one writer and one reader."""
