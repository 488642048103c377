"""Every answer of a served model, on disk as it comes: killed at any moment, what has come is not asked again.

One SQLite file a run folder. Beside the answers it counts the questions: they are counted, on disk, before they are
sent, so that a budget holds across whatever ends the process.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from memberwise.errors import RunFolderError
from memberwise.store.files import PRIVATE
from memberwise.types.arrays import Floats

FILE = "answers.sqlite"
# One record's answer: figures by class, or a label as the server has it.
Answer = Floats | str | int | float
# Digests that one statement asks about.
MANY = 500
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (digest BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""


class AnswerStore:
    """Answers by digest of the record as it was sent. One process at a time: the run folder is locked.

    Raises:
        RunFolderError: the file is there and is no store, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, PRIVATE))  # answers about single records
            self.connection = sqlite3.connect(self.path, isolation_level=None)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise RunFolderError(
                "the server's answers cannot be kept",
                found=str(error),
                where=str(self.path),
                fix="another --out; or delete the file: its questions are then asked again",
            ) from None

    def close(self) -> None:
        self.connection.close()

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers that are here, by digest."""
        answers: dict[bytes, Answer] = {}
        for first in range(0, len(digests), MANY):
            part = digests[first : first + MANY]
            marks = ",".join("?" * len(part))
            query = f"SELECT digest, answer FROM answers WHERE digest IN ({marks})"  # noqa: S608 (marks alone)
            answers.update((digest, _unpack(answer)) for digest, answer in self.connection.execute(query, part))
        return answers

    def answers(self) -> Iterator[Answer]:
        """All answers: ``(C,)`` figures or labels."""
        for (answer,) in self.connection.execute("SELECT answer FROM answers"):
            yield _unpack(answer)

    def __len__(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def keep(self, answers: Mapping[bytes, Answer], **counts: float) -> None:
        """Answers, and what is counted with them, in one transaction; the first answer to a question stays."""
        rows = [(digest, _pack(answer)) for digest, answer in answers.items()]
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
            self._add(counts)

    def count(self, **counts: float) -> None:
        """Add to what is counted."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self._add(counts)

    def counted(self, name: str) -> float:
        row = self.connection.execute("SELECT value FROM counts WHERE name = ?", (name,)).fetchone()
        return 0.0 if row is None else float(row[0])

    def say(self, name: str, value: object) -> None:
        """Keep a fact (JSON) about the server."""
        with self.connection:
            self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def said(self, name: str) -> object:
        """A fact that was kept, or None."""
        row = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def _add(self, counts: Mapping[str, float]) -> None:
        adding = "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        self.connection.executemany(adding, list(counts.items()))


def _pack(answer: Answer) -> bytes:
    if isinstance(answer, np.ndarray):
        return b"f" + np.ascontiguousarray(answer, "<f8").tobytes()
    return b"l" + json.dumps(answer).encode()


def _unpack(content: bytes) -> Answer:
    if content[:1] == b"f":
        return np.frombuffer(content[1:], "<f8").astype(np.float64)
    label: str | int | float = json.loads(content[1:])
    return label
