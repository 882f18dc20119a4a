"""Self-contained HTML pages: the frame, facts and tables. May import: nothing of Reverie."""

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files


def page(title: str, sections: Mapping[str, str]) -> str:
    """A page with a section for each heading; sections without HTML are left out, and '' has no heading."""
    style = files("reverie.results").joinpath("report.css").read_text(encoding="utf-8")
    body = "".join((f"<h2>{name}</h2>" if name else "") + html for name, html in sections.items() if html)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · Reverie</title><style>{style}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def facts(values: Mapping[str, str | None]) -> str:
    """Key numbers, each over its name; None is left out."""
    shown = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>"
        for name, value in values.items()
        if value is not None
    )
    return f'<div class="facts">{shown}</div>'


def table(head: Iterable[str], rows: Iterable[list[str]], *, code: bool = False, wrap: bool = False) -> str:
    """An HTML table of escaped text; with `code`, all but the first column are commands, with `wrap`, lines break."""
    tag = ("<code>", "</code>") if code else ("", "")
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><td>{escape(first)}</td>" + "".join(f"<td>{tag[0]}{escape(x)}{tag[1]}</td>" for x in rest) + "</tr>"
        for first, *rest in rows
    )
    return f'<div class="{"wrap" if wrap else "wide"}"><table><tr>{heads}</tr>{body}</table></div>'
