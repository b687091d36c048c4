"""The review file: what the models wrote and a person corrects, as tab-separated text.

One row is one caption, so that a plain editor and a spreadsheet both show it whole, a mistake has a line, and a diff
shows who changed what; JSON would bury the captions in quotes and brackets, YAML needs a package of its own and
reads "no" as false. A clip has a row ``caption`` with its tagged global caption, then a row for each region with its
target. What is left blank is still to be written, by a model or by hand.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mive.base.atomic import write_text
from mive.errors import RequestError
from mive.evaluate.dataset.prompts import CANDIDATES
from mive.evaluate.dataset.survey import Survey

COLUMNS: Final = ("clip", "id", "class", "text", "review", "note", *(f"candidate {n + 1}" for n in range(CANDIDATES)))
CAPTION: Final = "caption"
"""What a clip's first row has for an id."""

UNCHANGED: Final = "-"
"""The text of a region that stays as it is."""

_FIXED: Final = len(COLUMNS) - CANDIDATES


@dataclass(frozen=True)
class Row:
    """A line of the file.

    Attributes:
        clip: the clip's name.
        id: an instance's id in digits, or "caption".
        class_name: the region's class.
        text: the tagged global caption, the instance's target, "-" for one that stays, or nothing yet.
        review: in a caption's row "ok" once a person has seen the clip, "drop" to leave it out.
        note: what the tool has to say; nobody reads it back.
        candidates: the targets that were proposed.
        more: cells beyond the last column.
        line: where it stands, from 1; 0 for a new row.
    """

    clip: str
    id: str
    class_name: str = ""
    text: str = ""
    review: str = ""
    note: str = ""
    candidates: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    line: int = 0

    def cells(self) -> list[str]:
        """The row as it is written."""
        proposed = [*self.candidates, *[""] * (CANDIDATES - len(self.candidates))]
        return [self.clip, self.id, self.class_name, self.text, self.review, self.note, *proposed, *self.more]


def blank_rows(known: Survey) -> list[Row]:
    """A clip's rows with all that matters still to be written; stuff stays as it is."""
    regions = [
        Row(known.name, str(region.id), region.class_name, "" if region.thing else UNCHANGED)
        for region in known.regions
    ]
    return [Row(known.name, CAPTION), *regions]


def read_review(path: Path) -> list[Row]:
    """The rows of a file, mistakes and all; none where there is no file.

    Raises:
        RequestError: it is no file of this kind.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"{path} cannot be read: {error}",
            expected="a review file, tab-separated text in UTF-8",
            fix="Save it as UTF-8 text with tabs, not as a spreadsheet",
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), "excel-tab")
    rows: list[Row] = []
    start = 1
    try:
        for cells in reader:
            if start == 1:
                _require_header(path, cells)
            elif any(cell.strip() for cell in cells):
                rows.append(_row(cells, start))
            start = reader.line_num + 1
    except csv.Error as error:
        raise RequestError(
            f"{path}, line {start}: {error}", expected="a row of short texts", fix="Close the quote that is open there"
        ) from error
    return rows


def write_rows(path: Path, fresh: Sequence[Row]) -> None:
    """Put a clip's rows in the place of those that the file has of it now, or at its end.

    The file is read again first, so that what a person saved meanwhile in other clips stays.

    Raises:
        RequestError: what is there is no review file.
        OutputError: it cannot be written.
    """
    before = read_review(path)
    name = fresh[0].clip
    at = next((place for place, row in enumerate(before) if row.clip == name), len(before))
    others = [row for row in before if row.clip != name]
    at -= sum(row.clip == name for row in before[:at])
    text = io.StringIO()
    writer = csv.writer(text, "excel-tab", lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.cells() for row in [*others[:at], *fresh, *others[at:]])
    write_text(path, text.getvalue())


def filled(row: Row, text: str = "", note: str = "", candidates: Iterable[str] = ()) -> Row:
    """The row with what a model wrote."""
    return replace(row, text=text, note=note, candidates=tuple(candidates))


def _row(cells: Sequence[str], line: int) -> Row:
    padded = [cell.strip() for cell in (*cells, *[""] * (len(COLUMNS) - len(cells)))]
    candidates = tuple(cell for cell in padded[_FIXED : len(COLUMNS)] if cell)
    more = tuple(cell for cell in padded[len(COLUMNS) :] if cell)
    clip, number, class_name, text, review, note = padded[:_FIXED]
    # Spreadsheets begin cells with a capital letter.
    return Row(clip, number.lower(), class_name, text, review.lower(), note, candidates, more, line)


def _require_header(path: Path, cells: Sequence[str]) -> None:
    if tuple(cell.strip() for cell in cells[: len(COLUMNS)]) != COLUMNS:
        raise RequestError(
            f"the first line of {path} is not a review file's",
            expected=f"the columns {', '.join(COLUMNS)}, with tabs between them",
            fix="Put the first line back, or save with tabs rather than commas",
        )
