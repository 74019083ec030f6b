"""Pods: what is read of them, what proves that they are gone, how they are ended, and how they ended."""
