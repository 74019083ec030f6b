"""Manifests of what agents run in besides bare pods: Jobs, what scales, sandboxes, and RayClusters."""

from typing import Any

from agentstop_playground.controllers.quirks import ANNOTATION
from tests.support.agents import IDLE, pod_spec
from tests.support.kube import Object

SANDBOX_VERSION = "agents.x-k8s.io/v1beta1"
RAY_VERSION = "ray.io/v1"
EXTENSIONS_VERSION = "extensions.agents.x-k8s.io/v1beta1"


def job(name: str, script: str = IDLE, *, parallelism: int = 1, grace: int = 5, **spec: Any) -> Object:
    """Return a Job that runs so many agents at a time, and each of them once; `grace` in seconds."""
    pod = pod_spec(script, grace=grace, restartPolicy="Never")
    counts = {"parallelism": parallelism, "completions": parallelism}
    return _manifest("batch/v1", "Job", name, {**counts, "template": {"spec": pod}, **spec})


def deployment(name: str, script: str = IDLE, *, replicas: int = 1, grace: int = 5, **spec: Any) -> Object:
    """Return a Deployment; `grace` in seconds."""
    return _manifest("apps/v1", "Deployment", name, {**_scaled(name, script, replicas, grace), **spec})


def replica_set(name: str, script: str = IDLE, *, replicas: int = 1, grace: int = 5, **spec: Any) -> Object:
    """Return a ReplicaSet; `grace` in seconds."""
    return _manifest("apps/v1", "ReplicaSet", name, {**_scaled(name, script, replicas, grace), **spec})


def stateful_set(name: str, script: str = IDLE, *, replicas: int = 1, grace: int = 5, **spec: Any) -> Object:
    """Return a StatefulSet; `grace` in seconds."""
    scaled = _scaled(name, script, replicas, grace)
    return _manifest("apps/v1", "StatefulSet", name, {**scaled, "serviceName": name, **spec})


def sandbox(name: str, script: str = IDLE, *, grace: int = 5, quirks: str = "", **spec: Any) -> Object:
    """Return a Sandbox; `grace` in seconds, `quirks` as the playground's controller reads them."""
    pod = {"spec": pod_spec(script, grace=grace)}
    manifest = _manifest(SANDBOX_VERSION, "Sandbox", name, {"podTemplate": pod, **spec})
    if quirks:
        manifest["metadata"]["annotations"] = {ANNOTATION: quirks}
    return manifest


def sandbox_template(name: str, script: str = IDLE, *, grace: int = 5, **spec: Any) -> Object:
    """Return a template of sandboxes, for a warm pool; `grace` in seconds."""
    pod = {"spec": pod_spec(script, grace=grace)}
    return _manifest(EXTENSIONS_VERSION, "SandboxTemplate", name, {"podTemplate": pod, **spec})


def warm_pool(name: str, template: str, *, replicas: int = 0, **spec: Any) -> Object:
    """Return a pool that keeps so many sandboxes of a template ready; with none, each claim has its sandbox made."""
    reference = {"sandboxTemplateRef": {"name": template}}
    return _manifest(EXTENSIONS_VERSION, "SandboxWarmPool", name, {**reference, "replicas": replicas, **spec})


def claim(name: str, pool: str, **spec: Any) -> Object:
    """Return a claim to a sandbox of a pool."""
    return _manifest(EXTENSIONS_VERSION, "SandboxClaim", name, {"warmPoolRef": {"name": pool}, **spec})


def ray_cluster(name: str, script: str = IDLE, *, workers: int = 1, grace: int = 5, **spec: Any) -> Object:
    """Return a RayCluster with a head and so many workers; `grace` in seconds."""
    template = {"template": {"spec": pod_spec(script, grace=grace)}}
    group = {"groupName": "small", "replicas": workers, **template}
    return _manifest(RAY_VERSION, "RayCluster", name, {"headGroupSpec": template, "workerGroupSpecs": [group], **spec})


def reference(workload: Object) -> Object:
    """Return a workloadRef to an object."""
    return {"apiVersion": workload["apiVersion"], "kind": workload["kind"], "name": workload["metadata"]["name"]}


def _scaled(name: str, script: str, replicas: int, grace: int) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(script, grace=grace)}
    return {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}


def _manifest(version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
