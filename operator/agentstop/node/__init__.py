"""The component on each node: it freezes pods and kills what no kubelet does, by the kernel, asked by PodControls."""
