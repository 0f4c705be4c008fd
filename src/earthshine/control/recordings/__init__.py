"""Recordings of sessions' desktops: fetched from runners, kept, played."""
