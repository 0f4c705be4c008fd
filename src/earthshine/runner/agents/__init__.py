"""The agents a runner can start, and how each likes to be spoken to."""
