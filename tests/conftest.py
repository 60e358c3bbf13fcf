"""Settings for all levels of tests."""

from __future__ import annotations

import os

import hypothesis

# A submission is judged by the same examples each time; whoever works on the code meets new ones with every run, and
# what they find becomes a test of its own.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")
