"""The database: short transactions, one writer at a time on SQLite."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_TIMEOUT: Final = 15_000
"""Milliseconds that SQLite waits for another process's lock."""
POOL: Final = 8


class Database:
    """Opens transactions. Each lasts one operation; none is held over a wait for the network."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        if self.is_sqlite and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine: AsyncEngine = create_async_engine(
            self._url, pool_size=POOL, max_overflow=4, pool_pre_ping=not self.is_sqlite
        )
        # SQLite has one writer; waiting here is fair and cheap, waiting in SQLite is neither.
        self._writing = asyncio.Lock()
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads."""
        async with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.asynccontextmanager
    async def write(self, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; committed at the end, rolled back on an error.

        What is `durable` survives a power cut as well, on SQLite too, for an fsync more.
        """
        if not self.is_sqlite:
            async with self._engine.begin() as connection:
                yield connection
            return
        async with self._writing, self._engine.connect() as connection:
            await connection.execution_options(
                earthshine_write=True, earthshine_synchronous="FULL" if durable else "NORMAL"
            )
            async with connection.begin():
                yield connection

    async def migrate(self) -> None:
        """Bring the schema up to date."""
        async with self._engine.connect() as connection, self._references_off(connection):
            await connection.run_sync(_upgrade)
            await connection.commit()
        if self.is_sqlite and self._url.database:
            await asyncio.to_thread(Path(self._url.database).chmod, 0o600)

    @contextlib.asynccontextmanager
    async def _references_off(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """SQLite changes a table by making it anew; dropping the old one must not empty others.

        The switch works only outside a transaction, so it goes past SQLAlchemy.
        """
        if not self.is_sqlite:
            yield
            return
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("PRAGMA foreign_keys = OFF")
        try:
            yield
        finally:
            await connection.rollback()
            await driver.execute("PRAGMA foreign_keys = ON")

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _upgrade(connection: Any) -> None:
    config = Config()
    config.set_main_option("script_location", "earthshine.control.db:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver's own transaction handling begins late and commits early: we begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        f"busy_timeout = {BUSY_TIMEOUT}",
        "foreign_keys = ON",
        "journal_size_limit = 67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A transaction that begins with a read and then writes fails at once when another has written
    # in between; one that begins as a writer waits.
    options = connection.get_execution_options()
    if not options.get("earthshine_write", False):
        connection.exec_driver_sql("BEGIN")
        return
    synchronous = options["earthshine_synchronous"]
    if connection.info.get("synchronous", "NORMAL") != synchronous:
        connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
        connection.info["synchronous"] = synchronous
    connection.exec_driver_sql("BEGIN IMMEDIATE")
