"""Compute providers: what launches, stops, measures instances. Nothing else in Elba knows how."""
