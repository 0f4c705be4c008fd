"""`earthshine audit export|verify`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click
import httpx

from earthshine.cli.client import EXIT_UNAVAILABLE, Api, fail, words
from earthshine.control.audit import chain
from earthshine.control.audit.chain import ChainError, Head, Problem, Report

EXIT_PROBLEMS = 1
_SOURCES = (
    click.option(
        "--state-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Read the SQLite database in this folder, without a server.",
    ),
    click.option(
        "--database",
        envvar="EARTHSHINE_AUDIT_DATABASE",
        metavar="URL",
        help="Read this database, without a server; give a URL with a password by "
        "EARTHSHINE_AUDIT_DATABASE.",
    ),
)


@click.group()
def audit() -> None:
    """Export and check the audit log."""


@audit.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write here instead of printing.")
@_SOURCES[0]
@_SOURCES[1]
def export(*, out: Path | None, state_dir: Path | None, database: str | None) -> None:
    """Write the whole log as JSON lines, the head last. From the server, as an admin."""
    source = _lines(state_dir, database)
    if out is None:
        try:
            for line in source:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            sys.stderr.close()  # whoever read has had enough
        return
    head = _write(out, source)
    click.echo(f"{head.seq} records; head {head}", err=True)


def _write(out: Path, source: Iterator[bytes]) -> Head:
    """To a file that is there whole or not at all."""
    temporary = out.with_name(out.name + ".new")
    last = b""
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            for line in source:
                file.write(line)
                last = line
        head = _final(last)
        temporary.replace(out)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}")
    finally:
        temporary.unlink(missing_ok=True)
    return head


def _final(last: bytes) -> Head:
    with contextlib.suppress(ChainError):
        head = chain.read_line(last)
        if isinstance(head, Head):
            return head
    return fail("the export broke off: its last line is missing", EXIT_UNAVAILABLE)


@audit.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An earlier export: its records have to be in this one, unchanged.",
)
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="SEQ:HASH",
    help="A head noted before, as the server logs it; may be given several times.",
)
@_SOURCES[0]
@_SOURCES[1]
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    *,
    file: Path | None,
    against: Path | None,
    heads: tuple[str, ...],
    state_dir: Path | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Find altered, removed or reordered records in FILE, an export (- is standard input).

    Without FILE the log is read from the server, or the database, and checked here. Exit code 0:
    nothing is wrong; 1: something is, and what.
    """
    if against is not None and heads:
        raise click.UsageError("give --against or --head, not both")
    with contextlib.ExitStack() as stack:
        known: Iterable[Head] = _noted(heads)
        if against is not None:
            known = chain.heads_of_lines(_long_lines(stack.enter_context(against.open("rb"))))
        if file is None:
            source = _lines(state_dir, database)
        elif str(file) == "-":
            source = _long_lines(sys.stdin.buffer)
        else:
            try:
                source = _long_lines(stack.enter_context(file.open("rb")))
            except OSError as error:
                fail(f"{file} cannot be read: {error.strerror}", EXIT_UNAVAILABLE)
        try:
            report = chain.verify_lines(source, known)
        except ChainError as error:  # only what it is compared with raises
            fail(f"{against} is no export to compare with: {error}", EXIT_UNAVAILABLE)
    click.echo(_as_json(report) if as_json else _as_words(report))
    if not report.ok:
        raise SystemExit(EXIT_PROBLEMS)


def _noted(heads: tuple[str, ...]) -> list[Head]:
    try:
        return sorted(map(Head.parse, heads), key=lambda head: head.seq)
    except ChainError as error:
        raise click.UsageError(str(error)) from None


def _as_json(report: Report) -> str:
    return json.dumps(
        {
            "ok": report.ok,
            "records": report.records,
            "head": dataclasses.asdict(report.head),
            "problems": [dataclasses.asdict(problem) for problem in report.problems],
            "moreProblems": report.more,
        },
        indent=2,
    )


def _as_words(report: Report) -> str:
    lines = [_problem(problem) for problem in report.problems]
    if report.more:
        lines.append(f"and {report.more} more")
    state = "nothing is wrong" if report.ok else f"{len(report.problems) + report.more} problems"
    lines.append(f"{report.records} records, {state}; head {report.head}")
    return "\n".join(lines)


def _problem(problem: Problem) -> str:
    return f"{click.style(problem.finding.value, fg='red')}: {problem.what}"


# --- where the lines come from -------------------------------------------------------------------


def _lines(state_dir: Path | None, database: str | None) -> Iterator[bytes]:
    if state_dir is not None and database is not None:
        raise click.UsageError("give --state-dir or --database, not both")
    if state_dir is not None:
        path = state_dir / "earthshine.db"
        if not path.is_file():
            fail(f"there is no database in {state_dir}", EXIT_UNAVAILABLE)
        database = f"sqlite+aiosqlite:///{path}"
    return _from_server() if database is None else _from_database(database)


def _from_server() -> Iterator[bytes]:
    access = Api().access
    url = f"{access.url}/api/v1/audit/export"
    try:
        with httpx.stream("GET", url, headers=access.headers, timeout=60) as response:
            if not response.is_success:
                response.read()
                problem: dict[str, Any] = {}
                with contextlib.suppress(ValueError):
                    problem = response.json()
                fail(words(problem, response.status_code), _exit_code(response.status_code))
            yield from _split(response.iter_bytes())
    except httpx.TransportError as error:
        fail(f"{access.url} does not answer: {error}", EXIT_UNAVAILABLE)


def _exit_code(status: int) -> int:
    from earthshine.cli.client import EXIT_NOT_ALLOWED

    return EXIT_NOT_ALLOWED if status in (401, 403) else EXIT_UNAVAILABLE


def _from_database(url: str) -> Iterator[bytes]:
    """Without changing anything in it, its schema included."""
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    from earthshine.control.audit.rows import AuditReader
    from earthshine.control.audit.service import lines
    from earthshine.control.audit.trail import DatabaseTrail
    from earthshine.control.db.engine import Database
    from earthshine.control.errors import DomainError

    with asyncio.Runner() as runner:
        try:
            database = Database(url)
        except (ArgumentError, ImportError) as error:
            fail(f"that is no database URL: {error}", EXIT_UNAVAILABLE)
        try:
            parts = lines(AuditReader(database), DatabaseTrail(database).head)
            while (part := runner.run(anext(parts, None))) is not None:
                yield from part.splitlines(keepends=True)
        except (SQLAlchemyError, DomainError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            fail(f"the database cannot be read: {cause}", EXIT_UNAVAILABLE)
        finally:
            runner.run(database.close())


def _split(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends; one that is too long comes cut."""
    rest = b""
    for part in parts:
        rest += part
        *whole, rest = rest.split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > 2 * chain.MAX_LINE:
            rest = rest[: chain.MAX_LINE + 1]
    if rest:
        yield rest


def _long_lines(file: IO[bytes]) -> Iterator[bytes]:
    """A file's lines. Of one that is too long, enough to see that it is."""
    while line := file.readline(chain.MAX_LINE + 2):
        end = line
        while not end.endswith(b"\n") and (end := file.readline(chain.MAX_LINE)):
            pass
        yield line
