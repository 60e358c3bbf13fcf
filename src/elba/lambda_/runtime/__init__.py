"""Runs functions in worker processes: `pool` keeps them, `worker` is one of them, `bootstrap` is what runs in it."""
