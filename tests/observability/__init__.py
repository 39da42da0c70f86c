"""Metrics, dashboards, rules and alerts, against the real Prometheus tools."""
