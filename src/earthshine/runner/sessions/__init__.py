"""The sessions a runner holds: their holders, spools and cursors."""
