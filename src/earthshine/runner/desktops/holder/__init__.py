"""The process that owns a desktop: the display, what runs in it, and the worker that shows it."""
