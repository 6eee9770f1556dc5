"""`python -m pipeline.cli`."""

from pipeline.cli import program

program()
