"""Sharing sessions

Revision: 0007
After: 0006
"""

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in with its domain."""


def downgrade() -> None:
    """Filled in with its domain."""
