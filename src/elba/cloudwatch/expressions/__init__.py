"""Metric math: the language of expressions in GetMetricData and in alarms."""
