"""The read side, over published/ only."""
