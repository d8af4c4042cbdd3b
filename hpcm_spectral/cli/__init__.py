"""The command-line programs behind ``scripts/``: a file per program, what starts them in ``entry``."""
