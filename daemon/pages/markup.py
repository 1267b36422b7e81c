"""The few pieces of HTML that pages are made of; what they are given as text is escaped here."""

from collections.abc import Sequence
from html import escape

from daemon.pages.style import STYLE


def page(title: str, content: str, style: str = "", policy: str = "") -> str:
    """A whole page around HTML content. `style` is CSS of this page's own, `policy` a content security policy."""
    guard = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">' if policy else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"{guard}"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>{content}</main></body></html>\n"
    )


def figures(*drawings: tuple[str, str], beside: str = "") -> str:
    """Drawings with their captions side by side where there is room, and something beside them."""
    items = (f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>" for drawing, caption in drawings)
    return f'<div class="plots">{"".join(items)}{beside}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, which may be wider than a phone."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def note(text: str) -> str:
    """A paragraph in small print, from plain text."""
    return f'<p class="note">{escape(text, quote=False)}</p>'


def absent(sentence: str) -> str:
    """Says in place of a part why it is not there, from plain text."""
    return f'<p class="absent">{escape(sentence, quote=False)}</p>'
