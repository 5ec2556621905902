"""What the log knows of a table's files, in terms of its columns today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tablelog.format.layout import is_unchanged, statistics_as
from tablelog.format.predicate import outcomes
from tablelog.format.statistics import UNKNOWN

if TYPE_CHECKING:
    from tablelog.format.actions import AddFile
    from tablelog.format.predicate import Predicate, Truth
    from tablelog.format.statistics import FieldStatistics
    from tablelog.format.types import Field
    from tablelog.log.metadata import Metadata


class Known:
    """Answers for one file at a time."""

    def __init__(self, metadata: Metadata) -> None:
        """Look at files of a table from one version of it."""
        self._metadata = metadata
        self._unchanged: dict[tuple[int, int], bool] = {}
        """By schema and field id, whether files hold the field just as it is today: asked for every file."""

    def outcomes(self, predicate: Predicate, file: AddFile) -> Truth:
        """The truth values that rows of a file may give."""
        return outcomes(predicate, lambda field_id: self._statistics(file, field_id), file.row_count)

    def _statistics(self, file: AddFile, field_id: int) -> FieldStatistics:
        place = (file.schema_id, field_id)
        if place not in self._unchanged:
            self._unchanged[place] = is_unchanged(self._field(field_id), self._metadata.schemas[file.schema_id])
        if self._unchanged[place]:
            return file.statistics.get(field_id, UNKNOWN)
        return statistics_as(self._field(field_id), file, self._metadata.schemas[file.schema_id])

    def _field(self, field_id: int) -> Field:
        field = self._metadata.schema.part(field_id)
        assert field is not None
        return field
