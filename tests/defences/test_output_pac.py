"""PAC-private answers as an output defence: state, budget, stored answers, and what is released."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from output_models import linear, records, served
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import softmax

from memberwise.defences.bounded.pac import balanced_success, nats_within, release
from memberwise.defences.output.bounded import bounded_defence
from memberwise.defences.output.label_only import LabelOnly
from memberwise.defences.output.pac import Pac, PacState, on_simplex, secret_world
from memberwise.defences.output.registry import output_defences
from memberwise.defences.output.served import DefendedTarget
from memberwise.defences.output.temperature import Temperature
from memberwise.errors import StudyError, TargetError
from memberwise.study.schema import OutputDefenceConfig
from memberwise.targets.base import Target
from memberwise.types.arrays import Array

WORLDS, CLASSES = 8, 5
KINDS = ["label", "one-hot", "probabilities"]


class Ensembles(Target):
    """Ensembles of linear models: ``m`` times ``WORLDS`` of them."""

    def __init__(self, models: Any, size: int = WORLDS) -> None:
        self.models, self.size, self.kind = models, size, models.kind

    def __len__(self) -> int:
        return len(self.models) // self.size

    def worlds(self, x: Any) -> Array:
        answers: Array = self.models.predict(x)
        return answers.reshape(len(self), self.size, *answers.shape[1:])

    def predict(self, x: Any) -> Array:
        return np.asarray(self.worlds(x).mean(1))

    def one(self, i: int) -> Ensembles:
        import copy

        part = copy.copy(self.models)
        part.predicts = part.predicts[i * self.size : (i + 1) * self.size]
        return Ensembles(part, self.size)


def mixed(shared: Any, own: Any, x: Any) -> Any:
    return (3 * shared(x) + own(x)) / 4


def ensembles(count: int = 2, kind: str = "logits") -> Ensembles:
    # Half of what decides is common to all worlds, so that they agree about some records.
    models = linear(count * WORLDS, CLASSES, kind=kind)
    shared, own = linear(1, CLASSES, seed=9, kind=kind).predicts[0], models.predicts
    models.predicts = [partial(mixed, shared, one) for one in own]
    return Ensembles(models)


@pytest.mark.parametrize("answers", KINDS)
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_calls_cut_anyhow_give_the_same_answers(answers: Any, kind: str) -> None:
    x, models = records(60), ensembles(kind=kind)
    whole = served(models, Pac(answers=answers, budget_nats=1.0, questions=100)).predict(x)
    parts = served(models, Pac(answers=answers, budget_nats=1.0, questions=100))
    cut = np.concatenate([parts.predict(x[a:b]) for a, b in pairwise([0, 1, 8, 9, 33, 60])], axis=1)
    np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("answers", KINDS)
def test_a_record_asked_again_has_the_same_bytes_and_is_free(answers: Any) -> None:
    x, defence = records(40), Pac(answers=answers)
    behind = served(ensembles(), defence)
    first = behind.predict(x)
    states = [session.state for session in behind.states[0]]
    again = behind.predict(np.concatenate([x[::-1], x, x[3:4]]))
    assert again[:, :40][:, ::-1].tobytes() == first.tobytes() == again[:, 40:80].tobytes()
    assert [session.state for session in behind.states[0]] == states
    assert [defence.spent(state).questions for state in states] == [40, 40]


def test_twins_in_one_call_are_one_question() -> None:
    x = records(5)[[0, 0, 1, 0]]
    behind = served(ensembles(), Pac())
    answers = behind.predict(x)
    assert answers[:, 0].tolist() == answers[:, 1].tolist() == answers[:, 3].tolist()
    assert behind.states[0][0].state.questions == 2


def test_one_of_the_models_shares_its_state() -> None:
    x, models = records(30), ensembles()
    together, apart = served(models, Pac()), served(models, Pac())
    whole = together.predict(x)
    np.testing.assert_array_equal(np.concatenate([apart.one(i).predict(x) for i in range(2)]), whole)
    np.testing.assert_array_equal(apart.predict(x), whole)


def test_worlds_agreeing_give_their_label_for_nothing() -> None:
    x, models = records(80), ensembles(1)
    labels = models.worlds(x)[0].argmax(-1)
    agree = (labels == labels[0]).all(0)
    assert 10 < agree.sum() < 70
    behind = served(models, Pac())
    answers = behind.predict(x)[0]
    np.testing.assert_array_equal(answers[agree], labels[0][agree])
    state = behind.states[0][0].state
    assert state.questions == 80
    # Every other question costs its nats, less a little by the logarithm.
    assert state.nats == pytest.approx((~agree).sum() * Pac().cost, rel=1e-6)


def test_noise_never_gives_a_label_that_no_world_gave() -> None:
    x, models = records(80), ensembles(1)
    labels = models.worlds(x)[0].argmax(-1)
    answers = served(models, Pac()).predict(x)[0]
    assert all(answer in labels[:, i] for i, answer in enumerate(answers))


def test_with_a_large_budget_the_secret_world_answers() -> None:
    x, models, key = records(60), ensembles(1), b"k" * 32
    defence = Pac(budget_nats=1e9, per_question=1e6)
    votes = defence.votes(models.worlds(x)[0], "logits")
    state, answers = defence.start(WORLDS), []
    for place in range(60):
        done = defence.step(votes[:, place], state, key, np.random.default_rng(place))
        state = done.state
        answers.append(int(done.answer))
    world = secret_world(key, WORLDS)
    np.testing.assert_array_equal(answers, models.worlds(x)[0, world].argmax(-1))
    assert state.weights[world] == pytest.approx(1)


def test_state_is_that_of_the_pure_mechanism() -> None:
    x, models, key = records(30), ensembles(1), b"another key"
    defence = Pac(budget_nats=4.0, per_question=0.2)
    votes = defence.votes(models.worlds(x)[0], "logits")
    state, weights, nats = defence.start(WORLDS), np.full(WORLDS, 1 / WORLDS), 0.0
    for place in range(20):
        done = defence.step(votes[:, place], state, key, np.random.default_rng(place))
        normal = np.random.default_rng(place).standard_normal(CLASSES)
        made = release(votes[:, place], weights, secret_world(key, WORLDS), 0.2, normal)
        state, weights, nats = done.state, made.weights, nats + float(made.nats)
        np.testing.assert_array_equal(state.weights, weights)
        assert (state.nats, done.cost, int(done.answer)) == (nats, float(made.nats), int(made.values.argmax()))
    assert nats > 0.5


def test_the_budget_ends_with_an_error_and_never_without_noise() -> None:
    x, models = records(400), ensembles(1)
    defence = Pac(budget_nats=1e-6, questions=20)
    session: Any = defence.unpack(defence.pack(None), np.random.default_rng(1))
    behind = DefendedTarget(models, [defence], [[session]], [b"a secret"])
    with pytest.raises(TargetError, match="budget of the bounded answers is spent"):
        behind.predict(x)
    state = session.state
    assert state.nats <= 1e-6
    assert not defence.allows(state)
    assert state.nats + defence.cost > 1e-6
    known = len(session.answers)
    assert behind.predict(x[:known]).shape == (1, known)  # what was paid for is answered all the same
    with pytest.raises(TargetError, match="spent"):
        behind.predict(x[known : known + 1])


@pytest.mark.parametrize("questions", [1, 7, 1000])
def test_budget_lasts_for_its_questions(questions: int) -> None:
    defence = Pac(max_attack_success=0.55, questions=questions, share="3/4")
    assert defence.budget == pytest.approx(nats_within(0.55, 0.75))
    state = defence.start(4)
    assert defence.allows(state, questions)
    assert not defence.allows(state, questions + 1)
    assert defence.after(state, questions).nats == pytest.approx(defence.budget)
    spent = PacState(state.weights, defence.budget, questions)
    bound = defence.bound(spent)
    assert bound.success == pytest.approx(0.55)
    assert (bound.game, bound.share, bound.questions) == ("i", 0.75, questions)


def test_state_comes_back_from_bytes_the_same() -> None:
    defence = Pac()
    state = PacState(np.random.default_rng(0).dirichlet(np.ones(32)), 1.25e-7, 12345)
    back = defence.unpack_state(defence.pack_state(state))
    np.testing.assert_array_equal(back.weights, state.weights)
    assert (back.nats, back.questions) == (state.nats, state.questions)


@pytest.mark.parametrize("cut", [0, 3, 20, -1, -8])
def test_harmed_state_is_refused(cut: int) -> None:
    defence = Pac()
    with pytest.raises(ValueError, match="no state of pac"):
        defence.unpack_state(defence.pack_state(defence.start(4))[:cut])
    with pytest.raises(ValueError, match="no state of pac"):
        defence.unpack_state(b"pate" + defence.pack_state(defence.start(4))[4:])


HARMED = [
    PacState(np.array([1.5, -0.5, 0.0])),
    PacState(np.full(3, 0.34)),
    PacState(np.array([np.nan, 0.5, 0.5])),
    PacState(np.full(4, 0.25), nats=np.inf),
    PacState(np.full(4, 0.25), nats=-1e-9),
    PacState(np.full(4, 0.25), nats=np.nan),
]


@pytest.mark.parametrize("state", HARMED)
def test_state_that_no_answers_leave_is_refused(state: PacState) -> None:
    with pytest.raises(ValueError, match="no state of pac"):
        Pac().unpack_state(Pac().pack_state(state))


def test_secret_world_is_even_and_not_in_the_state() -> None:
    worlds = [secret_world(bytes([i, j]) * 16, 8) for i in range(40) for j in range(50)]
    counts = np.bincount(worlds, minlength=8)
    assert (np.abs(counts - 250) < 5 * np.sqrt(250)).all()
    assert "world" not in PacState.__dataclass_fields__


@pytest.mark.parametrize("answers", ["one-hot", "probabilities"])
def test_vectors_are_probabilities_by_their_largest_class(answers: Any) -> None:
    x, models = records(50), ensembles(1)
    vectors = served(models, Pac(answers=answers)).predict(x)[0]
    assert vectors.shape == (50, CLASSES)
    assert vectors.min() >= 0
    np.testing.assert_allclose(vectors.sum(-1), 1, atol=5e-6)
    if answers == "one-hot":
        labels = served(models, Pac()).predict(x)[0]
        np.testing.assert_array_equal(vectors.argmax(-1), labels)


def test_worlds_alike_in_probabilities_answer_them() -> None:
    defence = Pac(answers="probabilities", digits=2)
    logits = np.log([[0.5, 0.3, 0.2], [0.501, 0.299, 0.2]])
    done = defence.step(defence.votes(logits, "logits"), defence.start(2), b"", np.random.default_rng(0))
    np.testing.assert_array_equal(done.answer, [0.5, 0.3, 0.2])
    assert done.cost == 0


SUM: Any = {"type": "eq", "fun": lambda p: p.sum() - 1}


def far(values: Any, p: Any) -> float:
    return float(((p - values) ** 2).sum())


def test_nearest_probabilities_are_those_of_a_solver() -> None:
    rng = np.random.default_rng(4)
    for scale in (0.3, 1.0, 30.0):
        values = rng.normal(size=4) * scale
        start = softmax(values / scale)
        found = minimize(partial(far, values), start, bounds=[(0, 1)] * 4, constraints=SUM, tol=1e-12)
        np.testing.assert_allclose(on_simplex(values), found.x, atol=1e-5)


@pytest.mark.parametrize("scale", [1e15, 1e18, 1e100])
def test_vectors_under_enormous_noise_are_probabilities(scale: float) -> None:
    np.testing.assert_array_equal(on_simplex(np.array([-scale, scale, 3.0])), [0, 1, 0])
    np.testing.assert_array_equal(on_simplex(np.array([scale, scale, 0.0])), [0.5, 0.5, 0])
    noise = np.random.default_rng(5)
    done = Pac(answers="one-hot", per_question=1e-200).step(np.eye(3), PacState(np.full(3, 1 / 3)), b"k", noise)
    assert done.answer.sum() == pytest.approx(1)
    assert np.isfinite(done.state.weights).all()


def test_one_model_or_a_defence_before_it_is_refused() -> None:
    x = records(3)
    with pytest.raises(StudyError, match="answers from an ensemble"):
        served(linear(1), Pac()).predict(x)
    with pytest.raises(StudyError, match="no output defence before"):
        served(ensembles(), Temperature(t=2), Pac()).predict(x)
    with pytest.raises(StudyError, match="one world alone"):
        Pac().start(1)
    with pytest.raises(StudyError, match="needs scores"):
        output_defences([OutputDefenceConfig(name="label-only"), OutputDefenceConfig(name="pac")])


def test_defences_behind_it_only_work_on_its_answer() -> None:
    x, models = records(20), ensembles()
    labels = served(models, Pac()).predict(x)
    again = served(models, Pac(answers="one-hot"), LabelOnly()).predict(x)
    np.testing.assert_array_equal(labels, again)
    assert isinstance(bounded_defence([Temperature(t=2), Pac()]), Pac)
    assert bounded_defence([Temperature(t=2)]) is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_attack_success": 0.5},
        {"max_attack_success": 1.0},
        {"budget_nats": 0.0},
        {"budget_nats": 1.0, "max_attack_success": 0.6},
        {"budget_nats": 1e-6, "per_question": 1e-5},
        {"share": "half"},
        {"share": 0.3},
        {"share": "1/0"},
        {"questions": 0},
        {"questions": 10**400},
        {"budget_nats": 1e-320},
        {"per_question": 1e-310},
        {"answers": "logits"},
        {"budget": 1.0},
    ],
)
def test_impossible_parameters_are_refused(parameters: Any) -> None:
    with pytest.raises(ValidationError):
        Pac(**parameters)


def test_the_default_is_a_million_questions_at_51_per_cent() -> None:
    defence = Pac()
    assert balanced_success(1e6 * defence.cost) == pytest.approx(0.51)
    assert Pac(share="7/8").share == 0.875
