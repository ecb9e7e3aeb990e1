"""Carrying a run out: its plan, the workers that do it, the result that comes of it."""
