"""Adversarial regularisation: the model is trained against an attack that learns beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional

from memberwise.defences.training.averaging import Averaged
from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.inference_network import InferenceNetwork, Size, adam, adam_start
from memberwise.defences.training.losses import mean_of_records, soft_labels
from memberwise.errors import Note, StudyError
from memberwise.models.network import Network, Tensors
from memberwise.training.step import Batch, State

Form = Literal["paper", "released", "released-cifar"]
# Epochs in the mean where none are named: the game swings, but the releases keep each epoch's parameters as they are.
AVERAGE: dict[Form, int] = {"paper": 5, "released": 1, "released-cifar": 1}
# Epochs without the game at the beginning.
PLAIN: dict[Form, int] = {"paper": 0, "released": 1, "released-cifar": 4}


class AdversarialRegularisation(Averaged):
    """Nasr, Shokri and Houmansadr 2018, algorithm 1. A larger ``weight`` protects more and costs accuracy.

    In each step the inference network h takes ``attack_steps`` steps of Adam, each on a batch of members and one of
    the reference role; then the classifier f takes one with h frozen. h sees f as it answers (evaluation mode). The
    game swings, so the model of form "paper" is the mean of the last ``average`` epochs' parameters (5), that of the
    authors' code the last epoch's (1); ``weight`` 0 is therefore plain training with ``average`` 1 alone.

    form "paper": h sees probabilities and maximises the mean log-likelihood of the right answer; f pays
    ``weight * mean log h`` on its own batch. "released", as in the authors' code: h sees logits and minimises the
    squared error; f pays the linear ``weight * (mean h - 1/2)``, and nothing in the first epoch. (The release also
    counts its batches otherwise, 52 of h to 2 of f for Purchase-100: ``attack_steps`` 26 comes close.)
    "released-cifar", as in the authors' code for CIFAR-100: as "released", but h answers 1 for reference records and 0
    for members, labels are coded -1 and 1, f pays ``weight * mean (h - 1)^2``, and nothing in the first four epochs.
    (The release's h and f take as many steps: its loop over reference records ends before that over members.)
    """

    needs = frozenset({"reference", "members"})

    def __init__(self, options: AdversarialRegularisationOptions, fit: Fit) -> None:
        super().__init__(fit.recipe.epochs, averaged(options), fit.label_smoothing)
        self.weight, self.inner, self.attack_rate = options.weight, options.attack_steps, options.attack_rate
        self.form, self.classes, self.size = options.form, fit.classes, options.attack_network

    @property
    def attack(self) -> InferenceNetwork:
        return InferenceNetwork(self.classes, self.size)

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        params = self.attack.init(key)
        return super().init(network, rows, key) | _put("h", params) | _put("adam", adam_start(params))

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        return super().update(network, params, self._ascend(network, params, state, batch), batch, key)

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        logits, buffers = network(params, state.buffers, batch.x, key)
        losses = functional.cross_entropy(logits, batch.target, reduction="none", label_smoothing=self.label_smoothing)
        odds = self.attack(_take("h", state.own), self._seen(logits), self._coded(batch.target))
        penalty = self._penalty(odds, batch.mask) * (batch.epoch >= PLAIN[self.form])
        return mean_of_records(losses, batch.mask) + self.weight * penalty, state._replace(buffers=buffers)

    def _penalty(self, odds: Tensor, mask: Tensor | None) -> Tensor:
        if self.form == "paper":
            return mean_of_records(functional.logsigmoid(odds), mask)
        if self.form == "released":
            return mean_of_records(odds.sigmoid(), mask) - 0.5
        return mean_of_records((odds.sigmoid() - 1).square(), mask)

    def _ascend(self, network: Network, params: Tensors, state: State, batch: Batch) -> State:
        """The attack's steps, against the classifier as it is."""
        assert batch.members is not None
        assert batch.reference is not None
        sides = [self._answers(network, params, state, *side) for side in (batch.members, batch.reference)]
        h, memory = _take("h", state.own), _take("adam", state.own)
        for i in range(self.inner):
            inside, outside = ((answers[i], labels[i]) for answers, labels in sides)
            h, memory = adam(h, grad(self._attack_loss)(h, inside, outside), memory, self.attack_rate)
        return state._replace(own=state.own | _put("h", h) | _put("adam", memory))

    def _answers(self, network: Network, params: Tensors, state: State, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """``(inner, batch, classes)`` answers as h sees them, and labels."""
        logits = network(params, state.buffers, x.flatten(0, 1), None)[0]
        labels = self._coded(y.flatten(0, 1))
        return self._seen(logits).view(*x.shape[:2], -1), labels.view(*x.shape[:2], -1)

    def _coded(self, labels: Tensor) -> Tensor:
        """``(n, classes)`` labels as h sees them: 0 and 1, or -1 and 1."""
        coded = soft_labels(labels, self.classes)
        return 2 * coded - 1 if self.form == "released-cifar" else coded

    def _seen(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1) if self.form == "paper" else logits

    def _attack_loss(self, h: Tensors, inside: tuple[Tensor, Tensor], outside: tuple[Tensor, Tensor]) -> Tensor:
        members, nonmembers = self.attack(h, *inside), self.attack(h, *outside)
        if self.form == "paper":
            return -0.5 * (functional.logsigmoid(members).mean() + functional.logsigmoid(-nonmembers).mean())
        if self.form == "released-cifar":
            members, nonmembers = nonmembers, members
        return 0.5 * ((1 - members.sigmoid()).square().mean() + nonmembers.sigmoid().square().mean())


class AdversarialRegularisationOptions(Options):
    """weight is lambda (alpha in the code); attack_steps is k; average: see ``AVERAGE``."""

    weight: float = Field(1.0, ge=0)
    attack_steps: int = Field(5, ge=1)
    attack_rate: float = Field(1e-3, gt=0)
    attack_network: Size = "texas"
    form: Form = "paper"
    average: int | None = Field(None, ge=1)


def averaged(options: AdversarialRegularisationOptions) -> int:
    """Epochs in the mean."""
    return options.average or AVERAGE[options.form]


def _put(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}:{name}": value for name, value in tensors.items()}


def _take(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(f"{prefix}:"): v for name, v in tensors.items() if name.startswith(f"{prefix}:")}


def _check(options: AdversarialRegularisationOptions, fit: Fit, module: nn.Module) -> list[Note]:
    if fit.recipe.patience is not None and min(averaged(options), fit.recipe.epochs) > 1:
        raise StudyError(
            "advreg releases the mean of its last epochs, training.patience one epoch chosen on validation records",
            expected="one of the two",
            found=f"training.defence.average = {averaged(options)}, training.patience = {fit.recipe.patience}",
            where="training.defence",
            fix="training.defence.average=1, or leave training.patience out",
        )
    return []


DEFENCE = TrainingDefence(
    name="advreg",
    options=AdversarialRegularisationOptions,
    summary="An attack network learns beside the model, and the model is trained to leave it guessing.",
    source="Nasr, Shokri & Houmansadr 2018, algorithm 1",
    step=AdversarialRegularisation,
    check=_check,
    roles=("reference",),
    grid=tuple({"weight": weight} for weight in (0.3, 1.0, 2.0, 3.0)),
)
