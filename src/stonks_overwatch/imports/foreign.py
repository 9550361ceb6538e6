"""What a file is that is no CSV, seen from how it begins, and what to do with it. Pure."""

_SAVE_AS = "choose File, Save As, CSV UTF-8 (comma delimited) in your spreadsheet, and import that file."
_UTF_16 = "The file is UTF-16; save it as UTF-8."
_ZIPPED = (
    (b"xl/", f"The file is an Excel workbook (.xlsx): {_SAVE_AS}"),
    (b"opendocument.spreadsheet", f"The file is a LibreOffice spreadsheet (.ods): {_SAVE_AS}"),
    (b".iwa", "The file is a Numbers spreadsheet: choose File, Export To, CSV, and import that file."),
    (b"", "The file is packed (.zip): unpack it, and import the files that are in it."),
)
_INSTEAD = "import the CSV that your bank or broker offers beside it."
_PICTURE = f"The file is a picture: {_INSTEAD}"
_BEGINNINGS = (
    (b"\xff\xfe", _UTF_16),
    (b"\xfe\xff", _UTF_16),
    (b"\xd0\xcf\x11\xe0", f"The file is an old Excel workbook (.xls): {_SAVE_AS}"),
    (b"%PDF", f"The file is a PDF: {_INSTEAD}"),
    (b"\x1f\x8b", "The file is packed (.gz): unpack it, and import the file that is in it."),
    (b"\x89PNG", _PICTURE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"SQLite format 3", "The file is a database: stonks-overwatch restore reads one of Stonks Overwatch."),
)
_WORDS = (
    (("<!doctype html", "<html"), "The file is a web page: download the file itself, and import that."),
    (("<",), "The file is XML, and no Flex statement of IBKR's: of XML no other is read; import a CSV."),
    (("{", "["), "The file is JSON, and no details.json of an export: no other is read; import a CSV."),
    (("ofxheader",), f"The file is OFX, which is not read: {_INSTEAD}"),
    (("!type:", "!account"), f"The file is QIF, which is not read: {_INSTEAD}"),
)
# Of 100 bytes of UTF-16 without a mark so many are zero at least, all of them in odd or all in even places.
_ZEROS = 40


def foreign(head: bytes) -> str:
    """One sentence of what a file is that begins so, and what to do; empty where it may be CSV."""
    if head.startswith(b"PK\x03\x04"):
        return next(reason for mark, reason in _ZIPPED if mark in head)
    for beginning, reason in _BEGINNINGS:
        if head.startswith(beginning):
            return reason
    first = head.partition(b"\n")[0]
    if b"\0" in first:
        zeros = head[::2].count(0), head[1::2].count(0)
        is_utf_16 = 100 * max(zeros) > _ZEROS * len(head) and not all(zeros)
        return _UTF_16 if is_utf_16 else "The file is no text (it holds zero bytes): export it again as CSV."
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().decode("ascii", "replace")
    return next((reason for words, reason in _WORDS if start.startswith(words)), "")
