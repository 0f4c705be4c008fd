"""Agents' keys

Revision: 0006
After: 0005
"""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in with its domain."""


def downgrade() -> None:
    """Filled in with its domain."""
