"""Values to render the chart with."""

from typing import Any

from tests.support.helm import NAMESPACE

Values = dict[str, Any]

EVERYTHING: Values = {
    "replicaCount": 2,
    "leaderElection": {"leaseDurationSeconds": 30},
    "logging": {"format": "plain", "verbose": True},
    "extraArgs": ["--bind-address=::"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "image": {"digest": f"sha256:{'0' * 64}", "pullPolicy": "Always", "repository": "registry:5000/agents/agentstop"},
    "imagePullSecrets": [{"name": "pull"}],
    "crds": {"annotations": {"argocd.argoproj.io/sync-options": "Prune=false"}},
    "commonLabels": {"team": "platform"},
    "serviceAccount": {"annotations": {"example.com/role": "x"}},
    "deploymentAnnotations": {"example.com/deployment": "x"},
    "podAnnotations": {"example.com/pod": "x"},
    "podLabels": {"example.com/pod": "y"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "extraVolumes": [{"name": "extra", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    "podDisruptionBudget": {"minAvailable": "50%"},
    "networkPolicy": {"egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-map"}},
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ include "agentstop.fullname" . }}-text\n',
    ],
}

GATEWAY: Values = {
    "gateway": {
        "enabled": True,
        "replicaCount": 3,
        "waitSeconds": 5,
        "keys": {"secretName": "api-keys", "secretKey": "keys"},
        "impersonate": {
            "users": ["jane", "joe", "system:serviceaccount:team-a:ci", "system:serviceaccount:team-a:cd"],
            "groups": ["oncall", "night-shift"],
        },
        "hooks": {"secretName": "webhooks", "secretKey": "hooks"},
        "meter": {
            "enabled": True,
            "currency": "EUR",
            "keys": ["collector"],
            "trustRequests": True,
            "writeSeconds": 2,
            "limits": {"pointsPerSecond": 100, "tasks": 50},
            "prices": {"configMapName": "prices", "configMapKey": "map.json"},
        },
        "hosts": {"api.xpander.ai": "xpander"},
        "tls": {"secretName": "door-tls"},
        "extraArgs": ["--bind-address=::"],
        "serviceAccount": {"create": False, "name": "door"},
        "deploymentAnnotations": {"example.com/deployment": "x"},
        "podAnnotations": {"example.com/pod": "x"},
        "podLabels": {"example.com/pod": "y"},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"example.com/service": "x"}},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"example.com/ingress": "x"},
            "hosts": ["agentstop.example.com", "*.agents.example.com"],
            "tls": [{"hosts": ["agentstop.example.com"], "secretName": "cert"}],
        },
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "edge", "namespace": "edge"}],
            "hostnames": ["agentstop.example.com"],
            "annotations": {"example.com/route": "x"},
        },
        "networkPolicy": {
            "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
            "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
        },
    }
}

NODE: Values = {
    "watchNamespaces": ["team-a"],
    "node": {
        "enabled": True,
        "cgroupRoot": "/sys/fs/cgroup/unified",
        "extraArgs": ["--log-format=plain"],
        "serviceAccount": {"name": "hand", "annotations": {"example.com/role": "x"}},
        "daemonSetAnnotations": {"example.com/set": "x"},
        "podAnnotations": {"example.com/pod": "x"},
        "podLabels": {"example.com/pod": "y"},
        "nodeSelector": {"agents": "here"},
        "tolerations": [{"key": "agents", "operator": "Exists"}],
        "priorityClassName": "system-node-critical",
        "seLinuxOptions": {"type": "spc_t"},
        "updateStrategy": {"type": "OnDelete"},
    },
}

MATRIX: dict[str, Values] = {
    "defaults": {},
    "everything": EVERYTHING,
    "two replicas": {"replicaCount": 2},
    "one namespace": {"watchNamespaces": ["team-a"]},
    "namespaces": {"watchNamespaces": ["team-a", "team-b", NAMESPACE]},
    "without CRDs": {"crds": {"enabled": False}},
    "without metrics": {"metrics": {"enabled": False}},
    "an account that is there": {"serviceAccount": {"create": False, "name": "mine"}},
    "other names": {"nameOverride": "brake", "fullnameOverride": "emergency-brake"},
    "no tolerations": {"tolerations": []},
    "components on nodes": {"node": {"enabled": True}},
    "components on nodes with everything": NODE,
    "a gateway": {"gateway": {"enabled": True}},
    "a gateway with everything": GATEWAY,
    "a gateway of one namespace": {"watchNamespaces": ["team-a"], **GATEWAY},
}
"""By name; in each of them the chart must be whole and safe."""
