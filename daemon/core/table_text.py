"""The letters of CSV files, as people's programs write them."""

import codecs


def text_of(content: bytes) -> str:
    """UTF-8 with or without a mark, UTF-16 with one, else the letters of Windows in western Europe. Raises UnicodeDecodeError."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")
