"""Figures of README and docs, as ratios of one run: `python -m benchmarks [NAME ...]`."""
