"""ART as its notebook on shadow models has it: ``ShadowModels``, then ``MembershipInferenceBlackBox`` with a forest."""

from __future__ import annotations

from typing import Any

import numpy as np
from art.attacks.inference.membership_inference import MembershipInferenceBlackBox, ShadowModels
from power_models import BATCH, DECAY, MOMENTUM, RATE
from power_worker import Scores, Task, attacked


def classifier(task: Task) -> Any:
    if task.kind == "forest":
        from art.estimators.classification.scikitlearn import ScikitlearnRandomForestClassifier

        return ScikitlearnRandomForestClassifier(task.target())
    import torch
    from art.estimators.classification import PyTorchClassifier

    model = task.target()
    optimiser = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    shape, loss = task.x.shape[1:], torch.nn.CrossEntropyLoss()
    return PyTorchClassifier(model, loss, shape, task.classes, optimizer=optimiser, device_type="cpu")


class Trained:
    """A classifier whose copies train as the task says: ``ShadowModels`` calls ``fit`` with the data alone."""

    def __init__(self, made: Any, task: Task) -> None:
        self.made, self.task, self.input_shape = made, task, made.input_shape

    def clone_for_refitting(self) -> Trained:
        return Trained(self.made.clone_for_refitting(), self.task)

    def fit(self, x: Any, y: Any) -> None:
        how = {} if self.task.kind == "forest" else {"batch_size": BATCH, "nb_epochs": self.task.epochs}
        self.made.fit(x, y, **how)

    def predict(self, x: Any) -> Any:
        return self.made.predict(x)


def attack(task: Task, models: int) -> Scores:
    target, one_hot = classifier(task), np.eye(task.classes, dtype=np.float32)[task.y]
    shadows = ShadowModels(Trained(target, task), num_shadow_models=models, random_state=task.seed)
    members, others = shadows.generate_shadow_dataset(task.x, one_hot, task.member.mean())
    black_box = MembershipInferenceBlackBox(target, attack_model_type="rf")
    black_box.fit(members[0], members[1], others[0], others[1], members[2], others[2])
    return {"black box": black_box.infer(task.x, one_hot, probabilities=True)[:, -1]}


attacked("adversarial-robustness-toolbox", attack, ("mlp", "cnn", "forest"))
