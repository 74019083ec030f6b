"""Workloads whose pods a controller makes: their record, whose pods are whose, and how all of them end."""
