"""The run-time type checker of the tests: beartype, for which a whole number is also a number (PEP 484)."""

from beartype import BeartypeConf, beartype

with_numeric_tower = beartype(conf=BeartypeConf(is_pep484_tower=True))
