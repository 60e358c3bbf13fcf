"""Metric streams at work: what changed each minute goes to the endpoints that the operator has named."""
