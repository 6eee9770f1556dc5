"""goldfeed: CSV drops in, trusted Gold tables out."""

__version__ = "0.1.0"
