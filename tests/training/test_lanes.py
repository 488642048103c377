"""Where blocks go in a cluster: how much of a node and of a GPU each takes, and by which plan it is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engine_runs import job, trainer

from memberwise.errors import StudyError
from memberwise.study.engine import RayConfig
from memberwise.study.schema import PlanConfig
from memberwise.training.engines.lanes import MOST_ON_A_GPU, Lane, Terms, check_room, gpu_share, lanes_of, with_share
from memberwise.training.plan import Plan, PlanChoice
from memberwise.training.trainers.base import Fit

FACTS = replace(trainer().describe(), threads=4, on_gpus=True)
SMALL, LARGE = {"CPU": 8.0}, {"CPU": 16.0}
A100 = {"CPU": 16.0, "GPU": 4.0, "accelerator_type:A100": 1.0}
H100 = {"CPU": 64.0, "GPU": 8.0, "accelerator_type:H100": 1.0}
OPEN = RayConfig()
GB = 10**9


def test_without_gpus_there_is_one_lane_of_the_plans_threads() -> None:
    (lane,) = lanes_of(FACTS, OPEN, [SMALL, LARGE])
    assert lane == Lane("cpu", 4.0)
    assert lane.places([SMALL, LARGE]) == 2 + 4
    assert lane.options == {"num_cpus": 4.0, "num_gpus": 0.0}


def test_more_threads_than_any_node_has_become_the_largest_nodes() -> None:
    (lane,) = lanes_of(replace(FACTS, threads=64), OPEN, [SMALL, LARGE])
    assert (lane.cpus, lane.places([SMALL, LARGE])) == (16.0, 1)


def test_gpus_of_two_models_are_two_lanes_and_cpus_idle() -> None:
    nodes = [SMALL, A100, H100]
    lanes = lanes_of(FACTS, OPEN, nodes)
    assert [(lane.accelerator, lane.gpus) for lane in lanes] == [("A100", 1.0), ("H100", 1.0)]
    assert [lane.places(nodes) for lane in lanes] == [4, 8]
    assert lanes[0].options["accelerator_type"] == "A100"


@pytest.mark.parametrize(
    ("facts", "config"), [({"on_gpus": False}, {}), ({}, {"gpus": 0.0}), ({"on_gpus": False}, {"cpus": 4.0})]
)
def test_a_study_for_processors_leaves_gpus_alone(facts: dict[str, Any], config: dict[str, Any]) -> None:
    assert [lane.device for lane in lanes_of(replace(FACTS, **facts), RayConfig(**config), [A100])] == ["cpu"]


def test_a_driver_on_a_gpu_takes_gpus() -> None:
    with pytest.raises(StudyError, match=r"blocks are to have none(.|\n)*--device cpu"):
        lanes_of(replace(FACTS, device="cuda"), RayConfig(gpus=0.0), [A100])


def test_a_gpu_that_waits_to_be_added_is_asked_for() -> None:
    (lane,) = lanes_of(replace(FACTS, device="cuda"), OPEN, [SMALL])
    assert (lane.gpus, lane.places([SMALL]), lane.places([{"CPU": 8.0, "GPU": 1.0}])) == (1.0, 0, 1)


@pytest.mark.parametrize(
    ("taken", "share"),
    [
        (60 * GB, 1.0),  # 75.7 of 80: one block
        (31 * GB, 0.5),  # 39.45 each
        (32 * GB, 1.0),  # 40.7 each: two do not fit
        (10 * GB, 1 / 6),  # 13.2 each
        (GB // 10, 1 / MOST_ON_A_GPU),
        (100 * GB, 1.0),
    ],
)
def test_the_share_of_a_gpu_is_by_memory(taken: int, share: float) -> None:
    fit = Fit("A100", "cuda", Plan(4), taken, 80 * GB)
    assert gpu_share(fit) == pytest.approx(share)


def test_a_share_takes_its_part_of_the_cpus() -> None:
    nodes = [{"CPU": 8.0, "GPU": 2.0}]
    lane = with_share(Lane("cuda", 4.0, 1.0), 0.25, FACTS, OPEN, nodes)
    assert (lane.cpus, lane.places(nodes)) == (1.0, 8)
    one = [{"CPU": 2.0, "GPU": 1.0}]
    assert with_share(lane, 0.125, FACTS, OPEN, one).cpus == 0.25, "less than a CPU each"
    assert with_share(lane, 0.125, FACTS, OPEN, one).places(one) == 8
    assert with_share(lane, 0.25, FACTS, RayConfig(cpus=2), nodes).places(nodes) == 4, "as the study says"


def test_no_room_on_any_node_is_refused_and_no_node_is_not() -> None:
    lanes = lanes_of(FACTS, RayConfig(cpus=32.0), [SMALL])
    with pytest.raises(StudyError, match=r"room for one block(.|\n)*32 CPUs(.|\n)*at most 8 CPUs"):
        check_room(lanes, [SMALL])
    check_room(lanes, [{"object_store_memory": 1e9}])  # workers may be added


def test_a_worker_trains_by_the_plan_of_its_kind() -> None:
    made = trainer()
    kind = made.describe().processor
    assert Terms().of(made) is made
    assert Terms(plans={"another": Plan(1)}).of(made) is made
    assert Terms(plans={kind: Plan(1, stacked=False)}).of(made).plan == Plan(1, stacked=False)
    assert Terms("cuda").of(made).describe().device == "cpu", "where torch has no GPU"


def test_a_measured_plan_keeps_the_precision_and_the_block() -> None:
    """The driver took 4 at once; measured anew 16 would be tried, and a block has no more than 4."""
    made = trainer(stack=4)
    assert made.measure(job(0), 1).plan == made.plan, "too little to do to measure anything"
    made.choice = PlanChoice(PlanConfig(compile=False), work=1e15)
    fit = made.measure(job(0), 1)
    assert fit.plan == Plan(4, "float32", 1)
    assert (fit.device, fit.processor, fit.gpu_memory) == ("cpu", made.describe().processor, 0)
    made.choice = PlanChoice(PlanConfig(compile=False, stack=2), work=1e15)
    assert made.measure(job(0), 1).plan.stack == 2, "as the study says"
