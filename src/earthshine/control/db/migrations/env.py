"""Alembic's entry: migrations run on the connection that the caller brings."""

from typing import Any, Literal

from alembic import context

from earthshine.control.db.base import Base, Moment
from earthshine.control.db.models import ALL_MODELS

assert ALL_MODELS


def render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Migrations must not change when our own types do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Moment) else False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
