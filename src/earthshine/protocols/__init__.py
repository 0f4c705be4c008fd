"""Wire formats as sans-IO engines: bytes in, events out. No sockets, clocks or randomness here."""
