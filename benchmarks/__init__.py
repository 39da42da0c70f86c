"""Benchmarks: each first proves that every job ran exactly once, then reports ratios taken in one run."""
