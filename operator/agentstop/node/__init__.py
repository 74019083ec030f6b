"""The component on each node: it kills what no kubelet does, and says what the kernel says, asked by PodControls."""
