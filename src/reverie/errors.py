"""Errors addressed to the user: what is wrong, where, and how to fix it.

May import: nothing of Reverie. The command line prints these as one sentence. Any other exception is a bug in Reverie
or in an environment and keeps its traceback.
"""


class ReverieError(Exception):
    """The base class of Reverie's errors."""


class InputError(ReverieError, ValueError):
    """An invalid input: a setting, a file, a space or a value."""
