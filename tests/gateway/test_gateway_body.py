"""What is no strict JSON, or no block of numbers, is refused before it costs anything."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.gateway.body import parse_json
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import Limits, numbers, table
from memberwise.targets.replies import depth

LIMITS = Limits(depth=16, records=4, shape=(2,))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def slow_depth(value: Any) -> int:
    """How deep a parsed value is: the plain way."""
    if isinstance(value, dict):
        return 1 + max(map(slow_depth, value.values()), default=0)
    return 1 + max(map(slow_depth, value), default=0) if isinstance(value, list) else 0


@pytest.mark.slow
@settings(max_examples=60)
@given(JSON)
def test_depth_of_bytes_is_that_of_the_value(value: Any) -> None:
    assert depth(json.dumps(value).encode()) == slow_depth(value)
    assert depth(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == slow_depth(value)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_plain_objects_are_read_as_json_reads_them(value: dict[str, Any]) -> None:
    try:
        read = parse_json(json.dumps(value).encode(), 64)
    except Problem:
        assert any(0xD800 <= ord(letter) < 0xE000 for letter in json.dumps(value, ensure_ascii=False))
        return
    assert read == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[1]",
        b"1",
        b"null",
        b'"text"',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "\\u0061": 2}}',
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": .5}',
        b'{"a": +1}',
        b'{"a": 0x1}',
        b"{'a': 1}",
        b'{"a": 1} {"a": 1}',
        b'{"a": 1}\x00',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 17 + b"]" * 17 + b"}",
        b'{"a": ' * 40_000,
        b"[" * 1_000_000,
    ],
)
def test_what_is_no_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        parse_json(body, 16)
    assert refused.value.status == 400
    assert refused.value.kind == "invalid-json"


def test_brackets_in_texts_are_no_depth() -> None:
    assert parse_json(b'{"a": "[[[[\\"[[[["}', 1) == {"a": '[[[["[[[['}


@pytest.mark.parametrize(
    "values",
    [
        [],
        [[]],
        [1, 2],
        [[1, "2"]],
        [["1", "2"]],
        [[True, 2]],
        [[1, None]],
        [[1, 2], [1]],
        [[1, 2], 3],
        [[1, [2]]],
        [[{"a": 1}, 2]],
        [[1e39, 0]],
        [[float("inf"), 0]],
        [[10**400, 0]],
        [[-(10**39), 0]],
        [[int(np.finfo(np.float32).max) + 1, 0.5]],
        [[0, 0]] * 5,
        [[[]], [[]]],
    ],
    ids=repr,
)
def test_what_is_no_block_of_numbers_is_refused(values: Any) -> None:
    with pytest.raises(Problem) as refused:
        numbers(values, LIMITS)
    assert 400 <= refused.value.status < 500


@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_numbers_are_read_without_loss(values: list[list[float]]) -> None:
    array = numbers(json.loads(json.dumps(values)), LIMITS)
    np.testing.assert_array_equal(array.astype(np.float32), np.array(values, np.float32))


@pytest.mark.parametrize(
    ("columns", "data"),
    [
        (["a", "a"], [[1, 2]]),
        (["1", 1], [[1, 2]]),
        (["a", None], [[1, 2]]),
        (["a", True], [[1, 2]]),
        (["a", 1.5], [[1, 2]]),
        ([], [[]]),
        (["a"], [[1, 2]]),
        (["a"], [1]),
        (["a"], []),
        (["a"], [[[1]]]),
        (["a"], [[{"b": 1}]]),
        (["a"], [[float("inf")]]),
        (["a"], [[10**400]]),
        ("a", [[1]]),
        (["a"], {"0": [1]}),
        (["a"], [[1]] * 5),
    ],
)
def test_what_is_no_table_is_refused(columns: Any, data: Any) -> None:
    with pytest.raises(Problem) as refused:
        table(columns, data, LIMITS)
    assert 400 <= refused.value.status < 500
