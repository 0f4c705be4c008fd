"""The root of every error this package raises for what a peer sent or asked."""


class MoonlightError(Exception):
    """A peer broke the protocol or a stated limit. Each room derives its own error from this."""
