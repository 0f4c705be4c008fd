"""The process that shows a desktop: capture, encoding, input, clipboard, cursor and sound."""
