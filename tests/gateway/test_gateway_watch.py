"""The watcher beside the attacks of this package, and beside ordinary use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from memberwise.gateway.neighbours import cells, digest, kind_of
from memberwise.gateway.policy import Neighbourhood, Watch
from memberwise.gateway.sketches import NEAR, sketches
from memberwise.gateway.watch import Asked, Watcher, asked_of, signs_of
from memberwise.signals.ask import collect_extras
from memberwise.signals.collectors.boundary import BoundaryDistances
from memberwise.signals.collectors.votes import Augmented, Noised
from memberwise.signals.questions import Questions
from memberwise.targets.base import Target

SECRET = b"k" * 32
CONFIG = Neighbourhood()
TRAINED, AUDITED = 600, 40


class Tapped(Target):
    """A model whose questions and answers are kept, in the order in which they came."""

    kind = "probabilities"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.asked: list[Any] = []
        self.answered: list[Any] = []

    def __len__(self) -> int:
        return 1

    def predict(self, x: Any) -> Any:
        answers = self.model.predict_proba(x.reshape(len(x), -1))
        self.asked.append(np.array(x, np.float32))
        self.answered.append(answers)
        return answers[None]


class Job:
    seed = 1


def clusters() -> tuple[Any, Any]:
    """Binary records of 200 columns around ten centres, as far from each other as Location-30's."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, 10, 2500)
    x = (rng.random((10, 200)) < 0.3)[y] ^ (rng.random((2500, 200)) < 0.15)
    return x.astype(np.float32), y


def digits(shape: tuple[int, ...]) -> tuple[Any, Any]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32).reshape(-1, *shape), y


@cache
def case(name: str) -> tuple[Any, Any, Any]:
    """Records, labels, and a model trained on the first of them."""
    x, y = clusters() if name == "clusters" else digits((64,) if name == "rows" else (1, 8, 8))
    flat = x.reshape(len(x), -1)[:TRAINED]
    return x, y, MLPClassifier((32,), max_iter=2000, tol=1e-3, random_state=0).fit(flat, y[:TRAINED])


def questions_of(x: Any, answers: Any) -> list[Asked]:
    return asked_of(digest(x, SECRET), cells(x, SECRET, CONFIG), answers, sketches(x, SECRET, CONFIG))


def gathered(x: Any, y: Any, model: Any, collector: Any) -> list[Asked]:
    """The questions of a collector about 40 members, with their answers."""
    tapped, rows, none = Tapped(model), np.arange(AUDITED), np.zeros(0, np.int64)
    every = Questions(x[:AUDITED].copy(), y[:AUDITED], 30, rows, none, none, none, extras=(collector,))
    collect_extras(tapped, tapped, [Job()], every)  # type: ignore[list-item]
    return questions_of(np.concatenate(tapped.asked), np.concatenate(tapped.answered))


def by_record(questions: Sequence[Asked]) -> list[Asked]:
    """The same questions, all of one record before the next."""
    return [question for record in range(AUDITED) for question in questions[record::AUDITED]]


def watched(name: str, questions: Sequence[Asked], clients: int = 1) -> set[str]:
    """Codes of the alarms that were raised about anybody."""
    watcher = Watcher(Watch(), NEAR[kind_of(case(name)[0].shape[1:], CONFIG)])
    raised: set[str] = set()
    for i, question in enumerate(questions):
        watcher.observe(f"client {i % clients}", [question], i)
        raised |= {alarm.code for every in watcher.alarms().values() for alarm in every}
    return raised


ATTACKS: list[tuple[str, Any, str]] = [
    ("rows", BoundaryDistances(500, AUDITED), "boundary"),
    ("image", BoundaryDistances(500, AUDITED), "boundary"),
    ("clusters", BoundaryDistances(500, AUDITED), "boundary"),
    ("image", Augmented(), "altered-copies"),
    ("clusters", Augmented(), "altered-copies"),
    ("rows", Noised(), "near-duplicates"),
    ("image", Noised(), "altered-copies"),
    ("clusters", Noised(), "altered-copies"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "collector", "code"), ATTACKS)
def test_attack_by_one_client_is_alarmed(name: str, collector: Any, code: str) -> None:
    assert code in watched(name, gathered(*case(name), collector))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image", "clusters"])
@pytest.mark.parametrize("collector", [Augmented(), Noised()])
def test_attack_record_by_record_is_alarmed(name: str, collector: Any) -> None:
    raised = watched(name, by_record(gathered(*case(name), collector)))
    assert raised & {"altered-copies", "near-duplicates"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows", "image", "clusters"])
def test_attack_shared_by_20_clients_is_alarmed(name: str) -> None:
    questions = gathered(*case(name), BoundaryDistances(500, AUDITED))
    assert "shared-neighbourhoods" in watched(name, questions, clients=20)


def ordinary(name: str, seed: int) -> list[Asked]:
    """Test records in random order."""
    x, _, model = case(name)
    test = x[TRAINED:][np.random.default_rng(seed).permutation(len(x) - TRAINED)]
    return questions_of(test, model.predict_proba(test.reshape(len(test), -1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows", "image", "clusters"])
@pytest.mark.parametrize("clients", [1, 5])
def test_strangers_in_random_order_are_not_alarmed(name: str, clients: int) -> None:
    for seed in range(5):
        assert watched(name, ordinary(name, seed), clients) == set()


@pytest.mark.slow
def test_batch_sent_twice_is_not_alarmed() -> None:
    batch = ordinary("rows", 0)[:100]
    assert watched("rows", [*batch, *batch]) == set()


@pytest.mark.slow
def test_record_corrected_three_times_is_not_alarmed() -> None:
    x, _, model = case("clusters")
    rows = []
    for i, row in enumerate(x[TRAINED : TRAINED + 300]):
        rows.append(row)
        for column in range(3) if i % 40 == 0 else ():
            row = row.copy()
            row[column] = 1 - row[column]
            rows.append(row)
    every = np.stack(rows)
    assert watched("clusters", questions_of(every, model.predict_proba(every))) == set()


def question(number: int, cell: int | None = None, label: int = 0, margin: float | None = None) -> Asked:
    """Its digest is the number's; it is in a cell of its own, or in one shared with others."""
    where = f"own {number}" if cell is None else f"shared {cell}"
    return Asked(str(number).encode(), tuple(f"{where} {table}".encode() for table in range(4)), label, margin)


def test_repeats_of_one_record_are_alarmed_as_averaging() -> None:
    watcher = Watcher(Watch(window=100, lower="label"))
    codes = [alarm.code for i in range(100) if (alarm := watcher.observe("a", [question(1)], i)) is not None]
    assert codes == ["averaging"]
    assert watcher.tier("a") == "label"
    assert watcher.tier("b") is None


def test_alarm_ends_after_a_window_of_other_questions() -> None:
    watcher = Watcher(Watch(window=100, lower="label"))
    watcher.observe("a", [question(i, cell=0) for i in range(100)], 7.0)
    (alarm,) = watcher.alarms()["a"]
    assert (alarm.code, alarm.since) == ("near-duplicates", 7.0)
    watcher.observe("a", [question(1000 + i) for i in range(100)], 8.0)
    assert watcher.alarms() == {}
    assert watcher.tier("a") is None


def test_labels_that_alternate_nearby_are_a_boundary_search() -> None:
    watcher = Watcher(Watch(window=100, near_duplicates=0.99))
    alarm = watcher.observe("a", [question(i, cell=0, label=i % 2) for i in range(100)], 0)
    assert alarm is not None
    assert alarm.code == "boundary"


def test_margins_that_shrink_lower_no_tier() -> None:
    watcher = Watcher(Watch(window=100, near_duplicates=0.99, lower="label"))
    shrinking = [question(i, cell=0, margin=3.0**-i) for i in range(100)]
    alarm = watcher.observe("a", shrinking, 0)
    assert alarm is not None
    assert alarm.code == "boundary-margins"
    assert watcher.tier("a") is None


def test_other_clients_questions_lower_no_tier() -> None:
    watcher = Watcher(Watch(window=100, lower="label"))
    for i in range(100):
        watcher.observe("a", [question(i, cell=i)], i)
        watcher.observe("b", [question(1000 + i, cell=i)], i)
    assert [alarm.code for alarm in watcher.alarms()["b"]] == ["shared-neighbourhoods"]
    assert watcher.tier("b") is None


def test_the_same_record_by_two_clients_is_no_neighbour() -> None:
    watcher = Watcher(Watch(window=100))
    for client in ("a", "b"):
        watcher.observe(client, [question(i) for i in range(100)], 0)
    assert watcher.alarms() == {}


def test_few_questions_alike_raise_no_alarm() -> None:
    watcher = Watcher(Watch(window=200))
    assert watcher.observe("a", [question(i, cell=0) for i in range(20)], 0) is None


def test_memory_is_bounded_over_many_clients() -> None:
    watcher = Watcher(Watch(window=20), remembered=200)
    for i in range(3000):
        watcher.observe(f"client {i % 300}", [question(i)], i)
    assert sum(len(one.questions) for one in watcher._clients.values()) <= 200
    assert sum(len(one.latest) for one in watcher._clients.values()) <= 4 * 200
    assert len(watcher._cells) <= 200


def test_window_made_smaller_forgets_at_once() -> None:
    watcher = Watcher(Watch(window=100))
    watcher.observe("a", [question(i) for i in range(100)], 0)
    watcher.configure(Watch(window=20))
    watcher.observe("a", [question(1000)], 0)
    assert len(watcher._clients["a"].questions) == 20


def test_labels_alone_have_no_margins() -> None:
    asked = asked_of([b"a", b"b"], [(b"c",), (b"d",)], np.array([3, 1]))
    assert [(one.label, one.margin) for one in asked] == [(3, None), (1, None)]


def test_margin_is_between_the_two_largest_scores() -> None:
    (asked,) = asked_of([b"a"], [(b"c",)], np.array([[0.2, 0.7, 0.1]]))
    assert asked.label == 1
    assert asked.margin == pytest.approx(0.5)


def test_first_question_gives_no_sign() -> None:
    assert signs_of(question(1), None, times=0, strangers=False, copy=False) == frozenset()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "location30"])
def test_augmented_copies_of_real_records_are_alarmed(name: str, real_data: Path) -> None:
    file = np.load(real_data / f"{name}.npz")
    if name == "mnist":
        x, y = (file["x_train"][:3000] / 255).astype(np.float32)[:, None], file["y_train"][:3000].astype(np.int64)
    else:
        x, y = file["x"][:3000].astype(np.float32), file["y"][:3000].astype(np.int64)
    model = MLPClassifier((32,), max_iter=2000, tol=1e-3, random_state=0).fit(
        x.reshape(len(x), -1)[:TRAINED], y[:TRAINED]
    )
    near = NEAR[kind_of(x.shape[1:], CONFIG)]
    attacker, user = Watcher(Watch(), near), Watcher(Watch(), near)
    attacker.observe("a", by_record(gathered(x, y, model, Augmented())), 0)
    assert {alarm.code for alarm in attacker.alarms()["a"]} & {"altered-copies", "near-duplicates"}
    test = x[TRAINED:]
    for start in range(0, len(test), 100):
        part = test[start : start + 100]
        user.observe("b", questions_of(part, model.predict_proba(part.reshape(len(part), -1))), 0)
        assert user.alarms() == {}
