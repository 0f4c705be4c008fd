"""Sign-ins."""

from earthshine.control.accounts.service import SignedIn

__all__ = ["SignedIn"]
