"""Thousands of bodies that nobody would write: none is answered by an error of the gateway's, none costs anything."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

import memberwise as mw
from memberwise.gateway.ledger import read_total
from memberwise.gateway.loading import load_behind
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import Limits, table
from memberwise.types.json import Json

if TYPE_CHECKING:
    from tests.gateway.gateways import Served

# 100 in the usual profile.
BODIES, ROWS = 20 * settings().max_examples, 5 * settings().max_examples
RECORD = [0.5] * 64
TENSOR = {"name": "x", "shape": [1, 64], "datatype": "FP32", "data": RECORD}
SPLIT: dict[str, Any] = {"columns": [f"p{i}" for i in range(64)], "data": [RECORD]}
SEEDS: list[tuple[str, Any]] = [
    ("/v1/models/digits:predict", {"instances": [RECORD]}),
    ("/v2/models/digits/infer", {"id": "a", "inputs": [TENSOR], "outputs": [{"name": "label"}], "parameters": {}}),
    ("/invocations", {"inputs": [RECORD]}),
    ("/invocations", {"dataframe_split": SPLIT}),
    ("/invocations", {"dataframe_records": [dict(zip(SPLIT["columns"], RECORD, strict=True))]}),
]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, 2**53, 2**63, 2**64, 10**40, 10**400, 1e39, -1e308, "", "1", "NaN",
    "é\u2028😀", "\ud800", [], [[]], [None], [[[]]], {}, {"a": 1}, {"": {}}, "FP32", "BYTES", "BOOL", "x" * 5000,
]  # fmt: skip
RAW = [
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1E400", b"00", b"0x1", b"\xff", b"\x00", b'"', b"{",
    b"[" * 100, b"}", b",", b'"a":1,"a":1', b"\\ud800", b"'", b"//", b"9" * 5000, b"-", b"1.", b".1",
]  # fmt: skip


def changed(value: Any, rng: random.Random) -> Any:
    """The value with one place of it made odd: replaced, left out, doubled, renamed or wrapped."""
    if rng.random() < 0.3 or not isinstance(value, (dict, list)) or not value:
        return rng.choice([rng.choice(ODD), [value], {"a": value}, [value, value], str(value)[:50]])
    copy = dict(value) if isinstance(value, dict) else list(value)
    place = rng.choice(list(copy)) if isinstance(copy, dict) else rng.randrange(min(len(copy), 4))
    how = rng.random()
    if how < 0.15:
        del copy[place]
    elif how < 0.25 and isinstance(copy, dict):
        copy[rng.choice(["id", "inputs", "shape", "data", "params", "\ud800", "a"])] = copy.pop(place)
    elif how < 0.3 and isinstance(copy, list):
        copy *= 2
    else:
        copy[place] = changed(copy[place], rng)
    return copy


def broken(body: bytes, rng: random.Random) -> bytes:
    """Bytes with something odd in between, cut off, or turned."""
    place = rng.randrange(len(body) + 1)
    how = rng.random()
    if how < 0.5:
        return body[:place] + rng.choice(RAW) + body[place + rng.choice([0, 0, 1, 3]) :]
    if how < 0.7:
        return body[:place]
    if how < 0.9:
        return bytes(byte ^ (1 << rng.randrange(8)) if rng.random() < 3 / len(body) else byte for byte in body)
    return rng.randbytes(rng.randrange(300))


@pytest.mark.slow
def test_no_odd_body_fails_or_costs_anything(make_served: Callable[..., Served]) -> None:
    served = make_served({"server": {"max_bytes": 100_000}, "plans": {"default": {"questions": 10**9}}})
    key, rng = served.key(), random.Random(0)
    statuses: dict[int, int] = {}
    spent = 0
    for number in range(BODIES):
        path, seed = rng.choice(SEEDS)
        value = seed
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            value = changed(value, rng)
        body = json.dumps(value).encode()
        if number % 3 == 0 or value is seed:
            body = broken(body, rng)
        headers = dict(key)
        if rng.random() < 0.05:
            headers["Inference-Header-Content-Length"] = str(rng.choice([0, 1, len(body) // 2, len(body), 10**9, "x"]))
        answer = served.client.post(path, content=body, headers=headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, (path, body[:500], answer.text)
        now = read_total(served.store).questions
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert now == spent, (path, body[:500])
        else:
            said = answer.json()
            rows = said["predictions"] if "predictions" in said else said["outputs"][0]["shape"][0]
            assert now - spent <= (len(rows) if isinstance(rows, list) else rows)
        spent = now
    # Most are refused; those that are still right are answered.
    assert statuses[400] > BODIES // 2, statuses
    assert 0 < statuses[200] < BODIES // 4, statuses


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e39", '"1"', "true", "null", "[]"]
)
@pytest.mark.parametrize(("path", "seed"), SEEDS, ids=["v1", "v2", "inputs", "split", "records"])
def test_odd_numbers_are_refused_everywhere(
    make_served: Callable[..., Served], path: str, seed: Any, value: str
) -> None:
    served = make_served()
    key = served.key()
    text = json.dumps(seed)
    for place in (0, 31, 63):
        parts = text.split("0.5")
        body = "0.5".join(parts[: place + 1]) + value + "0.5".join(parts[place + 1 :])
        answer = served.client.post(path, content=body.encode(), headers=key)
        assert answer.status_code == 400, (place, answer.text)
    assert served.spent()[0] == 0
    assert served.client.post(path, content=text.encode(), headers=key).status_code == 200
    assert np.isfinite(served.spent()[0])


@pytest.mark.slow
def test_no_odd_row_of_a_table_fails(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 90, 300), "job": rng.choice(["nurse", "smith"], 300)})
    frame["smokes"], frame["weight"] = rng.random(300) < 0.5, rng.random(300)
    frame["ill"] = np.where(frame["age"] > 50, "yes", "no")
    small = {"training.epochs": 1, "model.hidden": [4]}
    roles: dict[str, Any] = {"members": 100, "nonmembers": 100, "shadow_models": 2, "attacks": ["loss"]}
    mw.audit(data=frame, label="ill", out=tmp_path / "run", settings=small, **roles)
    behind = load_behind(parse_policy({"model": {"file": str(tmp_path / "run")}}, "the test"), tmp_path, b"s" * 32)
    columns: list[Json] = ["age", "job", "smokes", "weight"]
    plain: list[Json] = [40, "nurse", True, 0.5]
    draw, answered, refused = random.Random(0), 0, set()
    for _ in range(ROWS):
        rows: list[list[Json]] = [list(plain) for _ in range(draw.choice([1, 2, 5]))]
        for _ in range(draw.choice([1, 1, 2, 4])):
            rows[draw.randrange(len(rows))][draw.randrange(4)] = draw.choice(ODD)
        try:
            x = behind.records(table(columns, [*rows], Limits(depth=16, records=256, shape=behind.shape)))
        except Problem as problem:
            refused.add(problem.status)
        else:
            assert x.shape == (len(rows), *behind.shape)
            answered += 1
    assert ROWS / 20 < answered < 0.95 * ROWS
    assert refused == {400}
    asyncio.run(behind.close())
