"""What a server's page says about a directory: nginx, Apache, Python's http.server, and others that list by links.

Not for: asking for the page; that is `models.index`.
"""

import json
from collections.abc import Iterable
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from triton_operator.models.remote import Names


class ListingError(ValueError):
    """A page lists a name that cannot be one; the text is the name."""


def names_in_html(page: str, *, url: str) -> Names:
    """Read the links of a page that lead to what lies directly below it.

    Args:
        page: the page.
        url: where it came from.

    Returns:
        The names; links elsewhere, such as to the directory above or to another order, are passed over.

    Raises:
        ListingError: a link leads to a name that cannot be a file's.
    """
    parser = _Links()
    parser.feed(page)
    parser.close()
    here = urlsplit(url)
    directory = here.path[: here.path.rindex("/") + 1]
    return _names(
        link
        for target in parser.targets
        if (link := _below(urljoin(url, target), host=(here.scheme, here.netloc), path=directory))
    )


def names_in_json(page: bytes) -> Names | None:
    """Read nginx's listing in JSON (autoindex_format json).

    Args:
        page: the page.

    Returns:
        The names; None if the page is no such listing.

    Raises:
        ListingError: it lists a name that cannot be a file's.
    """
    try:
        entries = json.loads(page)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    links = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            return None
        if entry.get("type") in ("file", "directory"):
            links.append((entry["name"], entry["type"] == "directory"))
    return _names(links)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets += [value for name, value in attrs if name == "href" and value]


def _below(link: str, *, host: tuple[str, str], path: str) -> tuple[str, bool] | None:
    """The name to which a link leads, and whether it is a directory; None if it is not directly below a path."""
    try:
        parts = urlsplit(link)
    except ValueError:  # no address at all
        return None
    if (parts.scheme, parts.netloc) != host or parts.query or parts.fragment or not parts.path.startswith(path):
        return None
    last = parts.path[len(path) :]
    name = last.removesuffix("/")
    if not name or "/" in name:
        return None
    return unquote(name, errors="surrogateescape"), last.endswith("/")


def _names(links: Iterable[tuple[str, bool]]) -> Names:
    directories: set[str] = set()
    files: set[str] = set()
    for name, is_directory in links:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ListingError(name)
        (directories if is_directory else files).add(name)
    return Names(tuple(sorted(directories)), tuple(sorted(files - directories)))
