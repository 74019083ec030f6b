"""Grace periods as Kubernetes has them where nobody asks for another one, in seconds."""

from typing import Final

DEFAULT_GRACE_SECONDS: Final = 30
"""That of a pod that does not say one.

Source: terminationGracePeriodSeconds in https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#lifecycle
"""

MIN_KUBELET_SECONDS: Final = 2
"""The least time that a kubelet leaves a container, however little was asked for.

Source: minimumGracePeriodInSeconds in https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/kuberuntime/kuberuntime_container.go
"""
