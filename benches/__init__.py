"""Benchmarks: ``python -m benches``. Method and figures are in README.md."""
