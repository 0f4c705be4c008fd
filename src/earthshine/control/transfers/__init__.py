"""Files between people and sessions, and the streams to runners that carry them."""
