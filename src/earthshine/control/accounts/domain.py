"""The services of this domain, put together."""

from __future__ import annotations


class Accounts:
    """Filled in with the services."""
