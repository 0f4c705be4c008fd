"""People have roles

Revision: 0002
After: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("people") as people:
        people.add_column(
            sa.Column("role", sa.String(length=16), nullable=False, server_default="member")
        )
    op.execute("UPDATE people SET role = 'admin' WHERE is_admin")
    with op.batch_alter_table("people") as people:
        people.alter_column("role", existing_type=sa.String(length=16), server_default=None)
        people.drop_column("is_admin")


def downgrade() -> None:
    with op.batch_alter_table("people") as people:
        people.add_column(
            sa.Column("is_admin", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.execute("UPDATE people SET is_admin = (role = 'admin')")
    with op.batch_alter_table("people") as people:
        people.alter_column("is_admin", existing_type=sa.Boolean(), server_default=None)
        people.drop_column("role")
