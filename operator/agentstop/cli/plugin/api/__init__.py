"""The way to the API server: the user's kubeconfig, and HTTP."""
