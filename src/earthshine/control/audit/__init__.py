"""What happened to whose trust: an append-only log in which each record seals the one before."""
