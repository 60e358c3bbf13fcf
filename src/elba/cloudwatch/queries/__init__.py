"""What CloudWatch's reading operations answer. Pure functions of the store's view, the metric store and the request."""
