"""Previews: a port that a session's programs have opened, shown in the browser of whoever may."""
