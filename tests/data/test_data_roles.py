from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.data import Dataset, Roles, RoleSpec, assign_roles, encode, from_object, load
from memberwise.errors import DataError, StudyError
from memberwise.seeds import Seeds

EXCLUSIVE = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary")


def records(n: int, test: int = 0, units: list[str] | None = None) -> Dataset:
    x = np.arange(2.0 * n).reshape(n, 2)
    return Dataset(
        x.astype(np.float32),
        np.arange(n) % 2,
        ("0", "1"),
        "s",
        test=np.arange(n - test, n) if test else None,
        units=None if units is None else np.array(units),
    )


def roles_of(dataset: Dataset, seed: int = 0, **wants: object) -> Roles:
    return assign_roles(dataset, RoleSpec(**wants), Seeds(seed))[1]  # type: ignore[arg-type]


def assert_sound(roles: Roles, dataset: Dataset) -> None:
    """What must hold of roles whatever was asked."""
    parts = {name: getattr(roles, name) for name in EXCLUSIVE}
    for (one, first), (other, second) in combinations(parts.items(), 2):
        assert not set(first) & set(second), (one, other)
        if dataset.units is not None:
            assert not set(dataset.units[first]) & set(dataset.units[second]), (one, other)
    for rows in [*parts.values(), roles.paired, roles.test]:
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        assert ((rows >= 0) & (rows < dataset.records)).all()
    assert set(roles.audited) == set(roles.members) | set(roles.nonmembers)
    assert (roles.audited[roles.member] == roles.members).all()
    assert (roles.audited[~roles.member] == roles.nonmembers).all()
    assert set(roles.paired) == (set(roles.members) | set(roles.nonmembers)) - set(roles.surplus_nonmembers)
    assert set(roles.surplus_nonmembers) <= set(roles.nonmembers)
    assert set(roles.target_rows) == set(roles.members) | set(roles.background)
    assert not set(roles.test) & set(roles.target_rows)


counts = st.none() | st.integers(0, 30)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(0, 120),
    test=st.integers(0, 20),
    members=st.none() | st.integers(1, 40),
    others=st.fixed_dictionaries(dict.fromkeys(EXCLUSIVE[1:], counts)),
    seed=st.integers(0, 5),
)
def test_roles_are_disjoint_and_right_sized_or_refused(
    n: int, test: int, members: int | None, others: dict[str, int | None], seed: int
) -> None:
    dataset = records(n + test, test)
    wants: dict[str, Any] = {"members": members, **others}
    asked = {name: count for name, count in wants.items() if count is not None}
    try:
        roles = roles_of(dataset, seed, **wants)
    except DataError:
        nobody = asked.get("nonmembers") == 0
        full = sum(asked.values()) + ("members" not in asked) + ("nonmembers" not in asked) > n
        assert nobody or full or n < 3
        return
    assert_sound(roles, dataset)
    assert len(roles.paired) == 2 * len(roles.members)
    surplus = max(0, asked.get("members", 0) - len(roles.nonmembers))
    for name, count in asked.items():
        extra = {"members": -surplus, "background": surplus}.get(name, 0)
        assert len(getattr(roles, name)) == count + extra
    assert not set(np.concatenate([getattr(roles, name) for name in EXCLUSIVE])) & set(range(n, n + test))
    assert set(roles.test) == (set(range(n, n + test)) if test else set(roles.nonmembers))


@settings(deadline=None, max_examples=60)
@given(members=st.integers(1, 30), nonmembers=st.integers(1, 30), background=st.integers(0, 10), seed=st.integers(0, 9))
def test_shadow_models_come_in_complementary_pairs(members: int, nonmembers: int, background: int, seed: int) -> None:
    roles = roles_of(records(80), members=members, nonmembers=nonmembers, background=background)
    rows = [roles.shadow_rows(k, Seeds(seed)) for k in range(8)]
    for even, odd in zip(rows[::2], rows[1::2], strict=True):
        assert set(even) & set(odd) == set(roles.background)
        assert set(even) | set(odd) == set(roles.paired) | set(roles.background)
    assert {len(some) for some in rows} == {len(roles.target_rows)}
    times = np.sum([np.isin(roles.paired, some) for some in rows], axis=0)
    assert (times == 4).all()
    assert not np.isin(np.concatenate(rows), roles.surplus_nonmembers).any()


def test_model_rows_depend_on_its_number_and_seed_alone() -> None:
    roles = roles_of(load("digits"))
    late = roles.shadow_rows(7, Seeds(3))
    assert [roles.shadow_rows(k, Seeds(3)) for k in range(8)][7].tolist() == late.tolist()
    assert late.tolist() != roles.shadow_rows(7, Seeds(4)).tolist()
    assert late.tolist() != roles.shadow_rows(5, Seeds(3)).tolist()


def test_halves_are_uniformly_random() -> None:
    """Each record is in the even half half of the time, each pair of records together in 9/38 of the halves."""
    roles = roles_of(records(25), members=10, nonmembers=10)
    inside = np.array([np.isin(roles.paired, roles.shadow_rows(2 * j, Seeds(0))) for j in range(4000)])
    assert abs(inside.mean(0) - 0.5).max() < 5 * 0.5 / 4000**0.5
    both = np.triu(inside.T.astype(float) @ inside / 4000, 1)
    assert abs(both[both > 0] - 9 / 38).max() < 5 * (9 / 38 / 4000) ** 0.5


def test_defaults_where_nothing_is_said() -> None:
    digits = roles_of(load("digits"))
    assert digits.counts == dict.fromkeys(digits.counts, 0) | {
        "members": 718, "nonmembers": 718, "population": 359, "test": 718,
    }  # fmt: skip
    large = roles_of(records(70_000, 10_000))
    assert (len(large.members), len(large.nonmembers), len(large.population)) == (10_000, 10_000, 5_000)
    assert large.test.tolist() == list(range(60_000, 70_000))


@pytest.mark.parametrize(
    ("n", "wants", "expected"),
    [
        (10_000, {"members": 3000}, (3000, 3000, 3000)),
        (60_000, {"members": 8000}, (8000, 8000, 5000)),
        (10_000, {"members": 300}, (300, 300, 1000)),
        (1000, {"members": 700}, (700 - 400, 300, 0)),
        (1000, {"nonmembers": 200}, (200, 200, 600)),
        (1000, {"population": 500}, (250, 250, 500)),
        (1000, {"members": 100, "population": 0}, (100, 100, 0)),
        (1000, {"auxiliary": 400}, (300, 300, 0)),
        (1000, {"members": "100", "nonmembers": 150}, (100, 150, 750)),
    ],
)
def test_defaults_where_something_is_said(n: int, wants: dict[str, int], expected: tuple[int, int, int]) -> None:
    roles = roles_of(records(n), **wants)
    assert (len(roles.members), len(roles.nonmembers), len(roles.population)) == expected
    assert_sound(roles, records(n))


def test_surplus_members_are_background_nonmembers_stay_out() -> None:
    roles = roles_of(records(100), members=40, nonmembers=10)
    assert (len(roles.members), len(roles.background), len(roles.paired)) == (10, 30, 20)
    assert not len(roles.surplus_nonmembers)
    roles = roles_of(records(100), members=10, nonmembers=40)
    assert (len(roles.members), len(roles.background), len(roles.paired)) == (10, 0, 20)
    assert (len(roles.nonmembers), len(roles.surplus_nonmembers)) == (40, 30)


def test_seeds_decide_and_repeat() -> None:
    first, again, other = (roles_of(records(100), seed) for seed in (1, 1, 2))
    assert first.members.tolist() == again.members.tolist()
    assert first.members.tolist() != other.members.tolist()


def test_rows_given_as_arrays_masks_and_files(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.array([9, 4]))
    (tmp_path / "p.txt").write_text("7\n8\n")
    mask = np.zeros(20, bool)
    mask[[1, 2]] = True
    roles = roles_of(
        records(20, 5),
        members=mask,
        nonmembers=tmp_path / "n.npy",
        population=str(tmp_path / "p.txt"),
        reference=[3, 16],
    )
    assert roles.members.tolist() == [1, 2]
    assert roles.nonmembers.tolist() == [4, 9]
    assert roles.population.tolist() == [7, 8]
    assert roles.reference.tolist() == [3, 16]
    assert roles.test.tolist() == [15, 17, 18, 19]


def test_records_in_files_become_further_rows(tmp_path: Path) -> None:
    dataset = from_object({"x": np.zeros((20, 2)), "y": ["a", "b"] * 10}, source="s")
    np.savez(tmp_path / "out.npz", x=np.ones((3, 2)), y=np.array(["b", "a", "b"]))
    np.savez(tmp_path / "pop.npz", x=np.full((2, 2), 2.0), y=np.array(["b", "b"]))
    wants = RoleSpec(members=5, nonmembers=tmp_path / "out.npz", population=str(tmp_path / "pop.npz"))
    larger, roles = assign_roles(dataset, wants, Seeds(0))
    assert roles.nonmembers.tolist() == [20, 21, 22]
    assert roles.population.tolist() == [23, 24]
    assert larger.records == 25
    assert larger.y[20:].tolist() == [1, 0, 1, 1, 1]
    assert larger.x[[20, 24], 0].tolist() == [1, 2]
    assert len(roles.background) == 2
    assert dataset.records == 20
    assert_sound(roles, larger)


def test_records_of_a_table_are_encoded_with_the_others(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": range(20), "city": list("ab") * 10, "p": range(20), "label": ["n", "y"] * 10})
    more = pd.DataFrame({"label": ["y", "n"], "p": [7, 99], "city": ["a", "z"], "age": [5, 6], "x": [0, 0]})
    more.to_csv(tmp_path / "more.csv", index=False)
    dataset = load(frame, unit="p")
    larger, roles = assign_roles(dataset, RoleSpec(members=4, nonmembers=4, reference=tmp_path / "more.csv"), Seeds(0))
    assert roles.reference.tolist() == [20, 21]
    assert 7 not in np.concatenate([roles.audited, roles.population])
    encoded = encode(larger, roles.fit_rows)
    assert encoded.feature_names == ("age", "city=a", "city=b")
    assert encoded.x[20:, 1:].tolist() == [[1, 0], [0, 0]]
    assert encoded.y[20:].tolist() == [1, 0]


def test_fit_rows_are_population_else_auxiliary_else_audited() -> None:
    roles = roles_of(records(50), members=5, nonmembers=5, population=7, auxiliary=6)
    assert roles.fit_rows.tolist() == roles.population.tolist()
    roles = roles_of(records(50), members=5, nonmembers=5, population=0, auxiliary=6)
    assert roles.fit_rows.tolist() == roles.auxiliary.tolist()
    roles = roles_of(records(50), members=5, nonmembers=5, population=0)
    assert roles.fit_rows.tolist() == roles.audited.tolist()


def test_auxiliary_shadows_split_records_at_target_size() -> None:
    roles = roles_of(records(100), members=10, nonmembers=10, background=5, auxiliary=41)
    for j in range(20):
        even, odd = (roles.shadow_rows(k, Seeds(0), "auxiliary") for k in (2 * j, 2 * j + 1))
        assert len(even) == len(odd) == len(roles.target_rows)
        assert set(even) & set(odd) == set(roles.background)
        assert set(even) | set(odd) <= set(roles.auxiliary) | set(roles.background)
    used = {row for k in range(40) for row in roles.shadow_rows(k, Seeds(0), "auxiliary")}
    assert used == set(roles.auxiliary) | set(roles.background)
    few = roles_of(records(100), members=10, nonmembers=10, auxiliary=7)
    assert [len(few.shadow_rows(k, Seeds(0), "auxiliary")) for k in (0, 1)] == [3, 3]


# A target that is trained already.


def test_the_members_of_a_trained_target_are_its_rows() -> None:
    seen = np.arange(0, 60, 2)
    roles = roles_of(records(300), train_rows=seen)
    assert roles.members.tolist() == seen.tolist()
    assert (len(roles.nonmembers), len(roles.background), len(roles.population)) == (30, 0, 240)
    assert_sound(roles, records(300))


def test_what_has_no_counterpart_among_nonmembers_is_background() -> None:
    seen = np.arange(100)
    roles = roles_of(records(150), train_rows=seen)
    assert (len(roles.nonmembers), len(roles.population)) == (40, 10)
    assert (len(roles.members), len(roles.background)) == (40, 60)
    assert roles.target_rows.tolist() == seen.tolist()
    roles = roles_of(records(150), train_rows=seen, population=0)
    assert (len(roles.members), len(roles.nonmembers)) == (50, 50)
    roles = roles_of(records(150), train_rows=seen, members=20, nonmembers=30)
    assert (len(roles.members), len(roles.background), len(roles.surplus_nonmembers)) == (20, 80, 10)
    assert set(roles.members) <= set(seen)
    roles = roles_of(records(150), train_rows=seen, members=[5, 6, 7])
    assert roles.members.tolist() == [5, 6, 7]
    assert roles.target_rows.tolist() == seen.tolist()


def test_source_test_part_serves_where_target_saw_the_rest() -> None:
    roles = roles_of(records(100, 40), train_rows=np.arange(60))
    assert set(roles.nonmembers) | set(roles.population) == set(range(60, 100))
    assert (len(roles.nonmembers), len(roles.members), len(roles.background)) == (32, 32, 28)
    assert roles.test.tolist() == roles.nonmembers.tolist()


@pytest.mark.parametrize(
    ("wants", "error", "message"),
    [
        ({"train_rows": 30}, StudyError, "train_rows is a count"),
        ({"train_rows": [1, 2, 3], "background": 3}, StudyError, "background is said twice"),
        ({"train_rows": [1, 2, 3], "members": [3, 4]}, DataError, "not trained on.*rows 4"),
        ({"train_rows": [1, 2, 3], "members": 4}, DataError, "than the target saw.*at most 3.*found: 4"),
        ({"train_rows": [1, 2, 3], "nonmembers": [3, 4]}, DataError, "nonmembers and train_rows overlap.*1 rows.*: 3"),
    ],
)
def test_trained_targets_refuse(wants: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        roles_of(records(50), **wants)  # type: ignore[arg-type]


# Bad wants.


@pytest.mark.parametrize(
    ("wants", "error", "message"),
    [
        ({"members": 40, "nonmembers": 70}, DataError, "than exist.*at most 100.*40 members [+] 70 nonmembers = 110"),
        ({"members": 99, "population": 5}, DataError, "99 members [+] 5 population = 104"),
        (
            {"members": [1, 2], "nonmembers": [2, 1, 3]},
            DataError,
            "members and nonmembers overlap.*2 rows in both: 1, 2",
        ),
        ({"reference": range(20), "validation": range(20)}, DataError, r"overlap.*0, 1, .*9, \.\.\. \(20 in all\)"),
        ({"members": [1, 1]}, DataError, "members name rows twice.*found: 1"),
        ({"members": [100]}, DataError, "do not exist.*0 to 99.*1 others, such as 100"),
        ({"members": [-1]}, DataError, "such as -1"),
        ({"members": [0.5]}, DataError, "not row numbers.*float64"),
        ({"members": [[1]]}, DataError, r"not row numbers.*\(1, 1\)"),
        ({"members": np.ones(99, bool)}, DataError, r"a mask of shape \(100,\).*bool of shape \(99,\)"),
        ({"members": -1}, StudyError, "fewer than none"),
        ({"members": "-1"}, StudyError, "fewer than none"),
        ({"members": 0.4}, StudyError, "neither a count nor a file.*0.4"),
        ({"members": True}, StudyError, "neither a count nor a file"),
        ({"members": "many"}, StudyError, r"neither a count nor a file of rows.*\.txt or \.npy.*found: many"),
        ({"members": "nowhere.txt"}, DataError, "no such file"),
        ({"members": "nowhere.npz"}, DataError, "no such file"),
        ({"members": "rows.pkl"}, DataError, "runs the code in it"),
        ({"members": 100}, DataError, "no records are left for non-members"),
        ({"nonmembers": 0}, DataError, "no records are left"),
        ({"members": []}, DataError, "no records are left for members"),
    ],
)
def test_wants_that_cannot_be_met(wants: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}") as caught:
        roles_of(records(100), **wants)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2  # type: ignore[attr-defined]


def test_files_of_rows_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"(?s)not a list of row numbers.*one integer a line.*words.txt"):
        roles_of(records(10), members=tmp_path / "words.txt")
    (tmp_path / "text.npy").write_text("1 2 3")
    with pytest.raises(DataError, match="not what its name says"):
        roles_of(records(10), members=tmp_path / "text.npy")
    np.save(tmp_path / "floats.npy", np.array([1.5]))
    with pytest.raises(DataError, match="not row numbers"):
        roles_of(records(10), members=tmp_path / "floats.npy")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 3)), "y": [0, 1, 0]}, r"float32 of shape \(2,\) a record.*shape \(3,\)"),
        ({"x": np.full((3, 8, 8), 9, np.uint8), "y": [0, 1, 0]}, r"found: uint8 of shape \(8, 8\)"),
        ({"x": np.zeros((3, 2)), "y": [0, 1, 7]}, "none of the classes.*found: 7"),
        ({"x": np.full((3, 2), np.inf), "y": [0, 1, 0]}, "NaN or infinite"),
    ],
)
def test_files_of_records_that_do_not_fit(arrays: dict[str, object], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"(?s){message}.*f.npz"):
        roles_of(records(20), nonmembers=tmp_path / "f.npz")


def test_tables_and_arrays_do_not_mix(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(8), "b": range(8), "label": [0, 1] * 4})
    frame.to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(DataError, match=r"(?s)cannot join.*arrays of the same shape"):
        roles_of(records(20), nonmembers=tmp_path / "f.csv")
    frame[["a", "label"]].to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError, match=r"(?s)columns of the data set are missing.*found: b"):
        roles_of(load(frame), nonmembers=tmp_path / "less.csv")


# Units.

sizes = st.lists(st.integers(1, 6), min_size=12, max_size=40)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(sizes=sizes, seed=st.integers(0, 5), data=st.data())
def test_a_unit_is_never_on_two_sides(sizes: list[int], seed: int, data: st.DataObject) -> None:
    units = data.draw(st.permutations([f"u{k}" for k, size in enumerate(sizes) for _ in range(size)]))
    dataset = records(len(units), units=list(units))
    n = len(units)
    roles = roles_of(dataset, seed, members=n // 4, nonmembers=n // 3, population=n // 8)
    assert_sound(roles, dataset)
    assert dataset.units is not None
    for name, asked in (("nonmembers", n // 3), ("population", n // 8)):
        assert asked - max(sizes) < len(getattr(roles, name)) <= asked
    assert abs(2 * len(roles.members) - len(roles.paired)) < max(sizes)
    for k in range(4):
        even, odd = roles.shadow_rows(2 * k, Seeds(seed)), roles.shadow_rows(2 * k + 1, Seeds(seed))
        even, odd = np.setdiff1d(even, roles.background), np.setdiff1d(odd, roles.background)
        assert not set(dataset.units[even]) & set(dataset.units[odd])
        assert sorted([*even, *odd]) == roles.paired.tolist()
        assert abs(len(even) - len(odd)) <= roles.slack <= max(sizes)
        assert max(abs(len(half) - len(roles.members)) for half in (even, odd)) <= roles.slack
    assert bool(roles.slack) == any(code == "unequal-sizes" for code, _ in roles.caveats)


def test_units_of_one_size_give_equal_halves_and_no_caveat() -> None:
    dataset = records(120, units=[f"u{k // 3}" for k in range(120)])
    roles = roles_of(dataset, members=30, nonmembers=30, population=30)
    assert (roles.slack, roles.caveats) == (0, ())
    assert {len(roles.shadow_rows(k, Seeds(0))) for k in range(10)} == {30}


def test_counts_that_whole_units_cannot_meet_are_told() -> None:
    roles = roles_of(records(120, units=[f"u{k // 3}" for k in range(120)]), members=31, nonmembers=30, population=0)
    assert len(roles.members) == 30
    assert ("units", "30 members, not 31: one unit's rows stay on one side") in roles.caveats
    with pytest.raises(DataError, match=r"(?s)no records are left for members.*at least one whole unit"):
        roles_of(records(120, units=[f"u{k // 3}" for k in range(120)]), members=2)


def test_rows_that_part_a_unit_are_refused() -> None:
    dataset = records(30, units=[f"u{k // 3}" for k in range(30)])
    with pytest.raises(DataError, match=r"(?s)members and nonmembers hold rows of the same unit.*1 rows of members: 3"):
        roles_of(dataset, members=[0, 1, 3], nonmembers=[4, 5])
    with pytest.raises(DataError, match=r"(?s)members and background hold rows of the same unit"):
        roles_of(dataset, train_rows=np.arange(9), members=[0, 1])
    roles = roles_of(dataset, members=[0, 3], nonmembers=9, population=12)
    assert not set(np.concatenate([roles.nonmembers, roles.population])) & {1, 2, 4, 5}
    roles = roles_of(dataset, train_rows=np.arange(10))
    assert not set(np.concatenate([roles.nonmembers, roles.population])) & {10, 11}
    assert_sound(roles, dataset)
