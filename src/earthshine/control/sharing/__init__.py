"""Sharing sessions: with people, and by links."""
