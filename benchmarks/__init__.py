"""Benchmarks of Reverie's speed; each module is one command, listed in README.md."""
