"""Files of sessions and pieces of recordings, on streams that the control plane dials."""
