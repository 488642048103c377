"""Made-up saved answers with what real ones have: records of their own difficulty, members a model is surer of."""

from __future__ import annotations

from typing import Any

import conventions as slow
import numpy as np
from numpy.typing import NDArray


def make_answers(
    seed: int,
    *,
    n: int = 90,
    classes: int = 3,
    shadows: int = 8,
    population: int = 40,
    paired: bool = True,
    heavy_tails: bool = False,
    scale: float = 1.0,
    duplicated: bool = False,
    share: float = 0.5,
    leak: float = 1.2,
    population_seen: bool = False,
    quiet: bool = False,
) -> tuple[Any, Any]:
    """``(outputs, shadow outputs)`` as logits.

    ``leak`` is the mean shift of the true logit of a trained record; ``scale`` 6 saturates the logits at about +-40;
    ``duplicated`` repeats every record's answers once, so that scores tie exactly; ``quiet`` makes all models nearly
    agree on every third record.
    """
    rng = np.random.default_rng(seed)
    draw = (lambda size: rng.standard_t(3, size)) if heavy_tails else (lambda size: rng.normal(size=size))
    hardness = rng.normal(size=classes)

    def records(count: Any) -> tuple[Any, Any, Any, Any]:
        labels = rng.integers(0, classes, count)
        labels[:classes] = np.arange(classes)
        centre = rng.normal(size=(count, classes)) * 1.5
        centre[np.arange(count), labels] += 1.5 + hardness[labels]
        noise = np.where(np.arange(count) % 3 == 0, 1e-3, 1.0) if quiet else np.ones(count)
        return labels, centre, leak * rng.gamma(2, 0.5, count), noise[:, None]

    def answers(labels: Any, centre: Any, shift: Any, noise: Any, seen: Any) -> Any:
        logits = centre + draw(centre.shape) * noise  # type: ignore[no-untyped-call]
        logits[np.arange(len(labels)), labels] += shift * seen
        return logits * scale

    ours, world = records(n), records(population)
    member = (rng.permutation(n) < share * n).astype(int)
    trained_on = rng.integers(0, 2, (shadows, n))
    if paired:
        for j in range(0, shadows, 2):
            trained_on[j] = rng.permutation(n) < n // 2
            trained_on[j + 1] = 1 - trained_on[j]
    seen = rng.integers(0, 2, (shadows, population)) if population_seen else np.zeros((shadows, population), int)
    outputs = {
        "logits": answers(*ours, member),
        "labels": ours[0],
        "member": member,
        "population_logits": answers(*world, np.zeros(population)),
        "population_labels": world[0],
    }
    shadow_outputs = {
        "logits": np.stack([answers(*ours, row) for row in trained_on]),
        "trained_on": trained_on,
        "population_logits": np.stack([answers(*world, row) for row in seen]),
    }
    if population_seen:
        shadow_outputs["population_trained_on"] = seen
    if duplicated:
        for name in ("logits", "labels"):
            outputs[name][1::2] = outputs[name][::2][: n // 2]
        shadow_outputs["logits"][:, 1::2] = shadow_outputs["logits"][:, ::2][:, : n // 2]
    return outputs, shadow_outputs


def as_kind(arrays: Any, kind: Any, change: Any) -> Any:
    """The same answers under another name, each array of logits put through ``change``."""
    return {
        name.replace("logits", kind): change(values) if "logits" in name else values for name, values in arrays.items()
    }


def softmax(logits: Any) -> Any:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def expected_scores(outputs: Any, shadow_outputs: Any, kind: Any, temperature: float = 2.0) -> Any:
    """Scores of every attack by the slow conventions; class-wise ones as ``(signal, cuts by class)``.

    p_y is taken at ``temperature`` by RMIA, BASE and InfoRMIA.

    Of ``rmia-offline`` a list: one for each value of a that may have been chosen.
    """
    labels, answers = outputs["labels"], outputs[kind]
    found = {name: slow.signal(name, answers, labels, kind) for name in ("gap", "loss", *VECTOR_SIGNALS)}
    if kind == "logits":
        found["top-one"] = found["top-one-search"] = slow.signal("top-one", answers, labels, kind)
    if shadow_outputs is None:
        return found
    theirs, trained_on = shadow_outputs[kind], shadow_outputs["trained_on"]
    for name in ("loss", *VECTOR_SIGNALS):
        found[f"{name}-classwise"] = found[name], slow.classwise_cuts(name, theirs, labels, trained_on, kind)  # type: ignore[assignment]

    def read(signal: Any, given: Any, truth: Any) -> NDArray[Any]:
        return np.array([signal(answer, int(y), kind) for answer, y in zip(given, truth, strict=True)])

    own, others = read(slow.phi, answers, labels), np.stack([read(slow.phi, a, labels) for a in theirs])
    if len(others) > 2:  # one model a side has no spread
        for side in ("online", "offline"):
            for spread in ("", "-fixed", "-shrunk"):
                form: dict[str, Any] = {
                    "online": side == "online",
                    "fixed": spread == "-fixed",
                    "shrunk": spread == "-shrunk",
                }
                found[f"lira-{side}{spread}"] = slow.lira(own, others, trained_on, **form)
        found["bavaria"] = slow.bavaria(own, others, trained_on)
    world, world_labels = outputs[f"population_{kind}"], outputs["population_labels"]
    of_world = read(slow.loss, world, world_labels)
    found["attack-p"] = slow.attack_p(found["loss"], of_world)
    by_shadows = np.stack([read(slow.loss, a, labels) for a in theirs])
    seen = shadow_outputs.get("population_trained_on", np.zeros((len(theirs), len(world_labels)), int))
    for name in ("attack-r", "calibration"):
        found[name] = getattr(slow, name.replace("-", "_"))(found["loss"], by_shadows, trained_on)
    soft = slow.softened(temperature)
    ours, of_world = read(soft, answers, labels), read(soft, world, world_labels)
    by_shadows = np.stack([read(soft, a, labels) for a in theirs])
    world_by_shadows = np.stack([read(soft, a, world_labels) for a in shadow_outputs[f"population_{kind}"]])
    found["base"] = slow.base(ours, by_shadows, trained_on)

    def ratios(online: Any, a: float = 0.3) -> tuple[Any, Any]:
        x = slow.rmia_log_ratios(ours, by_shadows, trained_on, online=online, population=False, a=a)
        return x, slow.rmia_log_ratios(of_world, world_by_shadows, seen, online=online, population=True, a=a)

    found["rmia-online"], found["informia"] = slow.rmia(*ratios(True)), slow.information(*ratios(True))
    fitting = slow.fitting_a(by_shadows, trained_on)
    found["rmia-offline"] = [slow.rmia(*ratios(False, a)) for a in fitting]  # type: ignore[assignment]
    return found


VECTOR_SIGNALS = ("confidence", "entropy", "mentr", "l2")
NAMES = [
    "gap",
    "loss",
    *VECTOR_SIGNALS,
    "loss-classwise",
    *(f"{name}-classwise" for name in VECTOR_SIGNALS),
    "top-one",
    "top-one-search",
    "lira-online",
    "lira-online-fixed",
    "lira-offline",
    "lira-offline-fixed",
    "lira-online-shrunk",
    "lira-offline-shrunk",
    "rmia-online",
    "rmia-offline",
    "attack-p",
    "attack-r",
    "calibration",
    "base",
    "bavaria",
    "informia",
]
