"""Paired runners

Revision: 0004
After: 0003
"""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in with its domain."""


def downgrade() -> None:
    """Filled in with its domain."""
