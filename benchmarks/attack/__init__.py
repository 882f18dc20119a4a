"""Attacks on runs and run folders: each command attacks in one way, many times, and appends a line of JSON per attack.

    python -m benchmarks.attack kills --count 500

An attack succeeds if something is lost, if a command answers with a traceback instead of a sentence, or if it claims
what is not so. Repeating a command continues it: attacks whose line is in the output already are not repeated.
"""
