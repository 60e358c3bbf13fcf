"""Elba: Elastic Load Balancing and Auto Scaling on your own machines."""

__version__ = "0.1.0"
