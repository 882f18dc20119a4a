"""Sentences for people: names that are safe to print, and counts. May import: nothing of Reverie."""


def printable(text: str) -> str:
    r"""The text with every character that a terminal could obey, or not show, as its escape, such as '\x1b'.

    These are control characters, line breaks, invisible and direction-changing characters, and lone surrogates, which
    can't be encoded. Names that were read from files pass through here before they are printed.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the singular or plural: '1 update', '2,000 updates'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
