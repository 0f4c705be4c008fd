"""The client role: pair with a host, start something on it, watch, listen, type.

``known`` keeps what pairing taught, ``host`` talks HTTP, ``stream`` is one running stream,
``decoding`` turns what arrives into pictures and samples.
"""
