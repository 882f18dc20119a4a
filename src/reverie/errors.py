"""Errors whose message is meant for the person at the keyboard: what, where, and how to fix it.

May import: nothing of Reverie. The command line prints these as one sentence; any other exception is a bug of ours or
of an environment and keeps its traceback.
"""


class ReverieError(Exception):
    """The base of them all."""


class InputError(ReverieError, ValueError):
    """Something that was given doesn't fit: a setting, a file, a space, a value."""
