"""How people sign in

Revision: 0003
After: 0002
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ALL_SCOPES = "account admin control read runners"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    with op.batch_alter_table("people") as people:
        people.add_column(sa.Column("name_key", sa.String(length=255), nullable=True))
        people.add_column(sa.Column("last_seen_at", moment, nullable=True))
        people.add_column(
            sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        people.add_column(sa.Column("expires_at", moment, nullable=True))
        people.add_column(sa.Column("removed_at", moment, nullable=True))
        people.add_column(sa.Column("password_hash", sa.String(length=255), nullable=True))
        people.add_column(
            sa.Column("second_factor", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    _name_everybody_once()
    with op.batch_alter_table("people") as people:
        people.alter_column("name_key", existing_type=sa.String(length=255), nullable=False)
        people.alter_column("disabled", existing_type=sa.Boolean(), server_default=None)
        people.alter_column("second_factor", existing_type=sa.Boolean(), server_default=None)
        people.drop_constraint(op.f("uq_people_name"), type_="unique")
        people.create_unique_constraint(op.f("uq_people_name_key"), ["name_key"])
    with op.batch_alter_table("sign_ins") as sign_ins:
        for name, length in (("name", 64), ("scopes", 100), ("address", 64), ("user_agent", 200)):
            sign_ins.add_column(
                sa.Column(name, sa.String(length=length), nullable=False, server_default="")
            )
        sign_ins.add_column(sa.Column("last_seen_at", moment, nullable=True))
    op.execute(f"UPDATE sign_ins SET scopes = '{ALL_SCOPES}', last_seen_at = created_at")  # noqa: S608
    with op.batch_alter_table("sign_ins") as sign_ins:
        for name in ("name", "scopes", "address", "user_agent"):
            sign_ins.alter_column(name, existing_type=sa.String(), server_default=None)
        sign_ins.alter_column("last_seen_at", existing_type=moment, nullable=False)
    op.create_table(
        "passkeys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("credential_id", sa.String(length=1400), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sign_count", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("last_used_at", moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
            name=op.f("fk_passkeys_person_id_people"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
    )
    op.create_index(op.f("ix_passkeys_person_id"), "passkeys", ["person_id"])
    op.create_table(
        "oidc_identities",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
            name=op.f("fk_oidc_identities_person_id_people"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_oidc_identities")),
    )
    op.create_index(op.f("ix_oidc_identities_person_id"), "oidc_identities", ["person_id"])


def _name_everybody_once() -> None:
    """Until now names that differ in case were two; the younger gets a number."""
    connection = op.get_bind()
    people = sa.table("people", sa.column("id"), sa.column("name"), sa.column("name_key"))
    query = sa.text("SELECT id, name FROM people ORDER BY created_at, id")
    taken: set[str] = set()
    for person_id, name in connection.execute(query).all():
        number, key = 1, _key(name)
        while key in taken:
            number += 1
            key = _key(f"{name[:60]} {number}")
        taken.add(key)
        values = {"name_key": key}
        if number > 1:
            values["name"] = f"{name[:60]} {number}"
        connection.execute(sa.update(people).where(people.c.id == person_id).values(**values))


def _key(name: str) -> str:
    # As it was when this migration was written, whatever `accounts.names` does today.
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def downgrade() -> None:
    op.drop_table("oidc_identities")
    op.drop_table("passkeys")
    with op.batch_alter_table("sign_ins") as sign_ins:
        for name in ("name", "scopes", "address", "user_agent", "last_seen_at"):
            sign_ins.drop_column(name)
    # A name that somebody removed had may be another's by now.
    op.execute(
        "UPDATE people SET name = substr(name, 1, 31) || ' ' || id WHERE removed_at IS NOT NULL"
    )
    with op.batch_alter_table("people") as people:
        people.drop_constraint(op.f("uq_people_name_key"), type_="unique")
        for name in (
            "name_key",
            "last_seen_at",
            "disabled",
            "expires_at",
            "removed_at",
            "password_hash",
            "second_factor",
        ):
            people.drop_column(name)
        people.create_unique_constraint(op.f("uq_people_name"), ["name"])
