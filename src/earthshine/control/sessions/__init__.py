"""Sessions: their life, event log and steering."""
