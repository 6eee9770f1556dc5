"""Tables by kind, one file a kind."""
