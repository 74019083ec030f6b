"""The playground's API server; what is asked of both is asked of a real kube-apiserver too."""
