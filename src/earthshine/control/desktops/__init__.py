"""Sessions' desktops: who may see and steer them, and the streams to their runners."""
