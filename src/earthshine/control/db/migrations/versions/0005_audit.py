"""Audit log

Revision: 0005
After: 0004
"""

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in with its domain."""


def downgrade() -> None:
    """Filled in with its domain."""
