"""A form with pictures, read in memory alone: no part of it ever lies on a disk, and everything in it has a limit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from daemon.console.problem import Problem
from daemon.core import messages as m
from daemon.core.plain import printable

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_FIELDS, FIELD_BYTES = 100, 4096
PICTURE_BYTES = 32 << 20
LONGEST_NAME = 120


@dataclass(slots=True)
class File:
    """A file of the form, with its name as text to show."""

    name: str
    data: bytearray


@dataclass(slots=True)
class Form:
    """What a form has, in its order."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[File] = field(default_factory=list)


async def read_form(content_type: str, chunks: AsyncIterator[bytes]) -> Form:
    """The form in the body of a request. Raises Problem."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(415, "not_a_form", "the request is not a form with pictures", "send multipart/form-data with the files in `pictures`")
    reader = _Reader()
    parser = MultipartParser(options[b"boundary"], reader.callbacks())
    try:
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise _broken(str(error)) from None
    if not reader.complete:
        raise _broken("it has no end")
    return reader.form


class _Reader:
    """Takes what the parser finds. Raises Problem at the first thing too much."""

    def __init__(self) -> None:
        self.form, self.complete = Form(), False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field, self._part, self._file = "", bytearray(), False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }

    def _begin(self) -> None:
        self._headers, self._name, self._value = {}, b"", b""
        self._part = bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or b"name" not in options:
            raise _broken("a part has no name")
        self._field, self._file = options[b"name"].decode("utf-8", "replace"), b"filename" in options
        if self._file:
            self._need(self._field in ("pictures", "pictures[]"), "files belong into `pictures`")
            self._need(len(self.form.files) < m.MAX_IMAGES, f"more than {m.MAX_IMAGES} pictures: send the best ones")
            self.form.files.append(File(_shown(options[b"filename"].decode("utf-8", "replace")), self._part))
        else:
            self._need(len(self.form.fields) < MOST_FIELDS, "the form has too many fields")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part += data[start:end]
        if self._file:
            self._need(len(self._part) <= PICTURE_BYTES, f"{self.form.files[-1].name} has more than {PICTURE_BYTES >> 20} MiB")
        else:
            self._need(len(self._part) <= FIELD_BYTES, f"a field has more than {FIELD_BYTES} bytes")

    def _end(self) -> None:
        if not self._file:
            try:
                self.form.fields.append((self._field, self._part.decode("utf-8")))
            except UnicodeDecodeError:
                raise _broken("a field is not UTF-8") from None

    def _whole(self) -> None:
        self.complete = True

    def _need(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Problem(413, "too_large", otherwise, "send less at a time")


def _shown(name: str) -> str:
    """The name of a file without its folders, as text that can be shown."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return printable(last)[:LONGEST_NAME] or "picture"


def _broken(why: str) -> Problem:
    return Problem(400, "not_a_form", f"the form cannot be read: {why}", "send multipart/form-data as browsers and curl -F do")
