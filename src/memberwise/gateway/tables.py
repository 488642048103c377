"""The tables of the gateway's store, in words that SQLite and PostgreSQL share. No input is ever in them."""

from __future__ import annotations

from typing import Any, TypeAlias

import sqlalchemy as sa

# A row that was read, and values by column that are written.
Row: TypeAlias = sa.Row[Any]
Values: TypeAlias = dict[str, object]

# Of these tables; another one is refused.
SCHEMA = 1

metadata = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Text = sa.String(200)

versions = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, nullable=False))

# A digest of the secret by which records are digested: under another one the same records are other questions.
secrets = sa.Table("secret", metadata, sa.Column("digest", sa.LargeBinary(32), primary_key=True))

# Bearer tokens: of each its SHA-256 digest alone. A name's keys share its budget.
keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", _Text, nullable=False, index=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("plan", _Text, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.Double),
    sa.Column("revoked", sa.Double),
)

# What was spent in all ("total"): distinct records, over all clients.
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(20), primary_key=True),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("nats", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", _Text, nullable=False, unique=True),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("nats", sa.Double, nullable=False),
)

# Each cell of the inputs' neighbourhoods, and how many distinct records in it were asked about.
cells = sa.Table(
    "cells",
    metadata,
    sa.Column("cell", sa.LargeBinary(16), primary_key=True),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Each record that was paid for, under one model and policy, and its answer once there is one.
records = sa.Table(
    "records",
    metadata,
    sa.Column("record", sa.LargeBinary(16), primary_key=True),
    sa.Column("answer", sa.LargeBinary),
)

# Who has paid for which record, and what it may see of the answer. pending: requests that are about to answer it.
grants = sa.Table(
    "grants",
    metadata,
    sa.Column("record", sa.LargeBinary(16), primary_key=True),
    sa.Column("client", _Id, sa.ForeignKey("clients.id"), primary_key=True, autoincrement=False),
    sa.Column("tier", sa.String(10), nullable=False),
    sa.Column("nats", sa.Double, nullable=False),
    sa.Column("pending", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Of each output defence with a bound, by a digest of the models that it asks and their secret: what was granted at
# most, in nats and rho, and what the defence keeps of all that it has answered.
bounds = sa.Table(
    "bounds",
    metadata,
    sa.Column("mechanism", sa.LargeBinary(16), primary_key=True),
    sa.Column("nats", sa.Double, nullable=False),
    sa.Column("rho", sa.Double, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)

# Differential privacy that each client (0: all together) was granted, at the most that it can cost: rho of
# zero-concentrated differential privacy, which adds up where epsilon does not.
rhos = sa.Table(
    "rhos",
    metadata,
    sa.Column("client", _Id, primary_key=True, autoincrement=False),
    sa.Column("rho", sa.Double, nullable=False),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("time", sa.Double, nullable=False, index=True),
    sa.Column("client", _Text, nullable=False),
    # "grant", "answer" (by a defence with a bound), "again", "refund", or why a request was refused: "client",
    # "neighbourhood", "total".
    sa.Column("event", sa.String(20), nullable=False),
    sa.Column("tier", sa.String(10)),
    sa.Column("digest", sa.LargeBinary(16)),
    sa.Column("questions", sa.BigInteger, nullable=False),
    sa.Column("nats", sa.Double, nullable=False),
)

_APPEND_ONLY = "the ledger is append-only"
_ABORT = f"BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
_RAISE = "EXECUTE FUNCTION ledger_is_append_only()"
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger {_ABORT}",
        f"CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger {_ABORT}",
        # A row may also be replaced, which fires no trigger on deletion.
        "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger "  # noqa: S608
        f"WHEN EXISTS (SELECT 1 FROM ledger WHERE id = NEW.id) {_ABORT}",
    ),
    "postgresql": (
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_APPEND_ONLY}'; END $$",
        f"CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW {_RAISE}",
        f"CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger FOR EACH STATEMENT {_RAISE}",
    ),
}


@sa.event.listens_for(ledger, "after_create")
def _guard_ledger(_table: sa.Table, connection: sa.Connection, **_options: object) -> None:
    for statement in _TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
