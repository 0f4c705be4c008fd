"""Paired runners: pairing, their tokens, revocation."""
