"""How people sign in

Revision: 0003
After: 0002
"""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in with its domain."""


def downgrade() -> None:
    """Filled in with its domain."""
