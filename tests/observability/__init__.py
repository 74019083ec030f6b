"""Alerts, dashboard and documentation against what the operator really exposes."""
