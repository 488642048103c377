"""The page on clusters: what it has Kubernetes do is made of fields that KubeRay's RayJob (ray.io/v1) has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text("utf-8")
# Of KubeRay's custom resource definition: those that are required, and those of the others that the page may use.
GROUP = {"rayStartParams", "template"}
FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "": ({"apiVersion", "kind", "metadata", "spec"}, set()),
    "spec": (set(), {"entrypoint", "shutdownAfterJobFinishes", "backoffLimit", "rayClusterSpec"}),
    "spec.rayClusterSpec": ({"headGroupSpec"}, {"authOptions", "rayVersion", "workerGroupSpecs"}),
    "spec.rayClusterSpec.headGroupSpec": ({"template"}, GROUP),
    "spec.rayClusterSpec.workerGroupSpecs.": (
        {"groupName", "minReplicas", "maxReplicas", "template"},
        {"replicas", *GROUP},
    ),
}


def _part(job: object, path: str) -> Mapping[str, object]:
    for name in [name for name in path.split(".") if path]:
        assert isinstance(job, (dict, list))
        job = job[0] if isinstance(job, list) else job[name]
    assert isinstance(job, dict)
    return job


def test_the_rayjob_has_the_fields_that_kuberay_knows() -> None:
    (text,) = [block.split("```")[0] for block in PAGE.split("```yaml\n")[1:]]
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    for path, (required, known) in FIELDS.items():
        names = {*_part(job, path)}
        assert required <= names, path
        assert names <= required | known, path
    groups = [job["spec"]["rayClusterSpec"][name] for name in ("headGroupSpec", "workerGroupSpecs")]
    for group in (groups[0], *groups[1]):
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "they are strings there"
