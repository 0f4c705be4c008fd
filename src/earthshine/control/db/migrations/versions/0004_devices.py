"""Paired runners

Revision: 0004
After: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# One by one, not as a batch: a batch would make the table anew, and sessions refer to it.
NULLABLE: dict[str, sa.types.TypeEngine[Any]] = {
    "owner_id": sa.String(length=32),
    "device_key": sa.String(length=43),
    "given_name": sa.String(length=64),
    "address": sa.String(length=64),
    "paired_at": sa.DateTime(timezone=True),
    "revoked_at": sa.DateTime(timezone=True),
    "revoked_reason": sa.String(length=200),
    "removed_at": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for name, default in (("shared", sa.true()), ("is_device", sa.false())):
        column: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), nullable=False, server_default=default
        )
        op.add_column("runners", column)
    for name, kind in NULLABLE.items():
        op.add_column("runners", sa.Column(name, kind, nullable=True))
    op.create_index(op.f("ix_runners_owner_id"), "runners", ["owner_id"], unique=False)
    op.create_table(
        "pairings",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("device_key", sa.String(length=43), nullable=True),
        sa.Column("name", sa.String(length=64), nullable=True),
        sa.Column("hostname", sa.String(length=128), nullable=True),
        sa.Column("platform", sa.String(length=128), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("runner_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
            name=op.f("fk_pairings_person_id_people"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pairings")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_pairings_code_hash")),
    )
    op.create_index(op.f("ix_pairings_person_id"), "pairings", ["person_id"], unique=False)
    op.create_table(
        "refresh_families",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("runner_id", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=True),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["runner_id"],
            ["runners.id"],
            name=op.f("fk_refresh_families_runner_id_runners"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_families")),
        sa.UniqueConstraint("runner_id", name=op.f("uq_refresh_families_runner_id")),
    )


def downgrade() -> None:
    op.drop_table("refresh_families")
    op.drop_index(op.f("ix_pairings_person_id"), table_name="pairings")
    op.drop_table("pairings")
    op.drop_index(op.f("ix_runners_owner_id"), table_name="runners")
    for name in (*NULLABLE, "is_device", "shared"):
        op.drop_column("runners", name)
