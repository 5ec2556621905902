"""Which files of a block a predicate cannot match, column by column instead of file by file.

A first look that is quick and never wrong in the direction that matters: what it leaves out has no row for which the
predicate is TRUE. What it leaves in is looked at again file by file, with all that `format.predicate` knows. The same
look is taken at a row group of a segment as a whole, whose least lower and greatest upper bounds stand in the object's
footer; so most of a large log is never read.

    x = 5 AND y < 3      (min x <= 5 and 5 <= max x) and (min y < 3)      a missing bound says nothing

What it does not understand it takes for possible: comparisons of values of another kind than the column's, parts of a
condition that nobody understood, NOT IN.
"""

from __future__ import annotations

import decimal
import json
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format.actions import AddFile
from tablelog.format.layout import FLOAT32_STEP, FLOAT32_TINY, statistics_as
from tablelog.format.predicate import (
    And,
    Comparison,
    IsIn,
    IsNull,
    IsTrue,
    Not,
    Operator,
    Or,
    Truth,
    Unknown,
    field_ids_of,
    outcomes,
)
from tablelog.format.statistics import UNKNOWN, FieldStatistics
from tablelog.format.types import PER_SECOND, Decimal, Primitive, Timestamp, is_float, is_integer
from tablelog.log.file_rows import KEY_FILTER, max_column, min_column, nans_column, nulls_column, plain_type
from tablelog.ops.known import Known
from tablelog.parquet.plain import TRUE, falses, ints, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tablelog.format.predicate import Predicate
    from tablelog.format.types import DataType, Field, Scalar
    from tablelog.log.blocks import Block, Column
    from tablelog.log.metadata import Metadata
    from tablelog.ops.buckets import Buckets
    from tablelog.ops.sought import SoughtKeys

_NEGATED: Final = {
    Operator.EQUAL: Operator.NOT_EQUAL,
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.LESS: Operator.GREATER_OR_EQUAL,
    Operator.LESS_OR_EQUAL: Operator.GREATER,
    Operator.GREATER: Operator.LESS_OR_EQUAL,
    Operator.GREATER_OR_EQUAL: Operator.LESS,
}
_OF_NAN: Final = frozenset((Operator.NOT_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL))
"""What NaN fulfils whatever it is compared with."""
_MEMBERS_MAX: Final = 256
"""Members of an IN that are looked for one by one in a block."""
_EXACT_FLOAT: Final = 1 << 53
_SECONDS_PER_DAY: Final = 86_400

Verdict: TypeAlias = "bool | Column"
"""Whether files may match: all alike, or each."""


class _Files:
    """Every file of a block."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._schemas = block.columns(("schema",))["schema"]

    def schema_ids(self) -> Sequence[int]:
        """Schemas under which the files were written."""
        known = self._block.bounds("schema", Primitive.INT64)
        if known is not None and known[0] == known[1]:
            return (int(known[0]),)
        ids: list[int] = self._schemas.unique().to_pylist()
        return ids

    def is_of(self, schema_id: int) -> Verdict:
        """Which files are of a schema."""
        return pc.equal(self._schemas, scalar(schema_id, pa.int64()))

    def bounds(self, field_id: int, type_: DataType, *, low: bool) -> Column | None:
        """Lower or upper bounds of a field, in the plain type; None if there are none."""
        array = self._block.column((min_column if low else max_column)(field_id, type_))
        return array if array is None or isinstance(type_, Decimal) else array.cast(plain_type(type_))

    def counts(self, column: str) -> Column | None:
        """Null or NaN counts; None if there are none."""
        return self._block.column(column)

    def row_counts(self) -> Column:
        """Rows of each file."""
        return self._block.columns(("rows",))["rows"]


class Pruning:
    """A predicate on a table as a `Narrowing` of its files."""

    def __init__(
        self, metadata: Metadata, predicate: Predicate, buckets: Buckets, sought: SoughtKeys | None = None
    ) -> None:
        """Look for files that may hold a row for which the predicate is TRUE."""
        self.field_ids: Final = field_ids_of(predicate)
        self._metadata = metadata
        self._predicate = predicate
        self._buckets = buckets
        self._sought = sought
        self._known = Known(metadata)

    def rules_out(self, block: Block) -> bool:
        """See `Narrowing`."""
        schemas = block.bounds("schema", Primitive.INT64)
        if schemas is None or schemas[0] != schemas[1]:
            return False
        if schemas[0] not in self._metadata.schemas:
            return True
        types = self._metadata.schemas[int(schemas[0])]
        statistics = {
            field_id: _of_all(block, field_id, field.type)
            for field_id in self.field_ids
            if (field := types.part(field_id)) is not None
        }
        whole = AddFile(path="-", size_bytes=0, row_count=1, schema_id=types.id, statistics=statistics)
        return Truth.TRUE not in self._known.outcomes(self._predicate, whole)

    def columns(self, block: Block) -> Sequence[str]:
        """See `Narrowing`."""
        beginnings = tuple(f"{field_id}:" for field_id in self.field_ids)
        partitions = ("partitioning", "partition") if self._buckets.equalities else ()
        filters = (KEY_FILTER,) if self._has_filters(block) else ()
        return [
            "schema",
            "rows",
            *partitions,
            *filters,
            *(name for name in block.column_names if name.startswith(beginnings)),
        ]

    def mask(self, block: Block) -> Column | None:
        """See `Narrowing`."""
        verdict = self._may(self._predicate, _Files(block))
        if self._buckets.equalities and verdict is not False:
            verdict = _and(verdict, self._in_buckets(block))
        if verdict is not False and self._has_filters(block):
            verdict = self._with_key(verdict, block)
        if isinstance(verdict, bool):
            return None if verdict else falses(block.row_count)
        return verdict

    def _has_filters(self, block: Block) -> bool:
        return self._sought is not None and KEY_FILTER in block.column_names

    def _with_key(self, verdict: Verdict, block: Block) -> Verdict:
        """Of files that may match so far, those whose filters have a key that is sought, or that have no filter."""
        assert self._sought is not None
        columns = block.columns((KEY_FILTER, "schema"))
        filtered: Column = _and(verdict, pc.is_valid(columns[KEY_FILTER]))
        places: Column = pc.indices_nonzero(filtered)
        texts, schema_ids = (columns[name].take(places).to_pylist() for name in (KEY_FILTER, "schema"))
        without = (
            place
            for place, text, schema_id in zip(places.to_pylist(), texts, schema_ids, strict=True)
            if not self._sought.may_be_in_row(text, schema_id, block)
        )
        return _and(verdict, pc.invert(pc.is_in(ints(range(block.row_count)), value_set=ints(without))))

    def _in_buckets(self, block: Block) -> Column:
        """Files whose partition may hold a value that is asked for; there are few partitions and many files."""
        columns = block.columns(("partitioning", "schema", "partition"))
        text = (columns[name].cast(pa.string()) for name in ("partitioning", "schema", "partition"))
        encoded = pc.binary_join_element_wise(*text, " ").dictionary_encode()
        held = [self._bucket_may_hold(*each.split(" ", 2)) for each in encoded.dictionary.to_pylist()]
        return _unless_known(pa.array(held, pa.bool_()).take(encoded.indices))

    def _bucket_may_hold(self, partitioning_id: str, schema_id: str, values: str) -> bool:
        return self._buckets.may_hold(int(partitioning_id), int(schema_id), json.loads(values))

    # ------------------------------------------------------------------ the predicate

    def _may(self, predicate: Predicate, files: _Files) -> Verdict:
        match predicate:
            case And(operands=operands):
                return self._joined(_and, operands, files, until=False)
            case Or(operands=operands):
                return self._joined(_or, operands, files, until=True)
            case Not(operand=operand):
                return self._may_not(operand, files)
            case IsTrue(field_id=field_id):
                return self._may(Comparison(field_id, Operator.EQUAL, True), files)
            case Comparison(field_id=field_id) | IsIn(field_id=field_id) | IsNull(field_id=field_id):
                return self._leaf(predicate, field_id, files)
            case Unknown():
                return True
            case _:
                assert_never(predicate)

    def _joined(
        self, join: Callable[[Verdict, Verdict], Verdict], operands: Iterable[Predicate], files: _Files, *, until: bool
    ) -> Verdict:
        """All operands, or as many as it takes until no other can change the verdict."""
        verdict: Verdict = not until
        for operand in operands:
            if verdict is until:
                break
            verdict = join(verdict, self._may(operand, files))
        return verdict

    def _may_not(self, predicate: Predicate, files: _Files) -> Verdict:
        match predicate:
            case And(operands=operands):
                return self._may(Or(tuple(Not(operand) for operand in operands)), files)
            case Or(operands=operands):
                return self._may(And(tuple(Not(operand) for operand in operands)), files)
            case Not(operand=operand):
                return self._may(operand, files)
            case Comparison(field_id=field_id, operator=operator, value=value):
                return self._may(Comparison(field_id, _NEGATED[operator], value), files)
            case IsTrue(field_id=field_id):
                return self._may(Comparison(field_id, Operator.EQUAL, False), files)
            case IsIn() | IsNull() | Unknown():
                return True
            case _:
                assert_never(predicate)

    def _leaf(self, predicate: Comparison | IsIn | IsNull, field_id: int, files: _Files) -> Verdict:
        """Schema by schema: a field may have another type in older files, or be younger than they are."""
        schema_ids = files.schema_ids()
        verdict: Verdict = False
        for schema_id in schema_ids:
            if schema_id not in self._metadata.schemas:  # of files that were added later
                continue
            found = self._in_schema(predicate, field_id, schema_id, files)
            verdict = _or(verdict, found if len(schema_ids) == 1 else _and(files.is_of(schema_id), found))
        return verdict

    def _in_schema(
        self, predicate: Comparison | IsIn | IsNull, field_id: int, schema_id: int, files: _Files
    ) -> Verdict:
        today, written = self._metadata.schema.part(field_id), self._metadata.schemas[schema_id]
        assert today is not None
        physical = written.part(field_id)
        if physical is None:
            default = statistics_as(today, _anything(schema_id), written)
            return Truth.TRUE in outcomes(predicate, lambda _: default, 1)
        if isinstance(predicate, IsNull):
            nulls = files.counts(nulls_column(field_id))
            return True if nulls is None else _positive(nulls)
        low = _promoted(files.bounds(field_id, physical.type, low=True), physical, today, -1)
        high = _promoted(files.bounds(field_id, physical.type, low=False), physical, today, +1)
        try:
            verdict = _compare(predicate, low, high, today.type)
        except (pa.ArrowException, ArithmeticError, TypeError, ValueError):  # not comparable: nothing can be said
            return True
        if is_float(today.type) and isinstance(predicate, Comparison) and predicate.operator in _OF_NAN:
            nans = files.counts(nans_column(field_id))
            verdict = _or(verdict, True if nans is None else _positive(nans))
        return _and(verdict, _some_not_null(low, field_id, files))


def _of_all(block: Block, field_id: int, type_: DataType) -> FieldStatistics:
    """What is known of a field in all files of a block as if they were one."""
    plain = Primitive.FLOAT64 if type_ is Primitive.FLOAT32 else type_
    low, high = (block.bounds(name(field_id, type_), plain) for name in (min_column, max_column))
    nulls, nans = (block.bounds(name(field_id), Primitive.INT64) for name in (nulls_column, nans_column))
    if low is None and high is None and nulls is None and nans is None:
        return UNKNOWN
    return FieldStatistics(
        min=None if low is None else low[0],
        max=None if high is None else high[1],
        null_count=0 if nulls is not None and nulls[1] == 0 else None,
        nan_count=0 if not is_float(type_) or (nans is not None and nans[1] == 0) else None,
    )


def _positive(counts: Column) -> Column:
    """Which counts are more than none, or unknown."""
    return _unless_known(pc.greater(counts, scalar(0, pa.int64())))


def _some_not_null(low: Column | None, field_id: int, files: _Files) -> Verdict:
    """Files without bounds are often those in which every row is null: nothing can be compared there."""
    nulls, row_counts = files.counts(nulls_column(field_id)), files.row_counts()
    if nulls is None or (low is not None and not low.null_count):
        return True
    return _unless_known(pc.less(nulls, row_counts))


def _compare(predicate: Comparison | IsIn, low: Column | None, high: Column | None, type_: DataType) -> Verdict:
    """Whether some value between the bounds may fulfil it."""
    if isinstance(predicate, IsIn):
        members = _members_between(predicate.members, low, high)
        if len(members) > _MEMBERS_MAX:
            members = ()
        verdict: Verdict = not members
        for member in members:
            verdict = _or(verdict, _compare(Comparison(0, Operator.EQUAL, member), low, high, type_))
        return verdict
    value = _scalar(predicate.value, type_)
    if value is None:
        return True
    match predicate.operator:
        case Operator.EQUAL:
            return _and(_holds(pc.less_equal, low, value), _holds(pc.greater_equal, high, value))
        case Operator.NOT_EQUAL:
            return True
        case Operator.LESS:
            return _holds(pc.less, low, value)
        case Operator.LESS_OR_EQUAL:
            return _holds(pc.less_equal, low, value)
        case Operator.GREATER:
            return _holds(pc.greater, high, value)
        case Operator.GREATER_OR_EQUAL:
            return _holds(pc.greater_equal, high, value)
        case _:
            assert_never(predicate.operator)


def _members_between(members: tuple[Scalar, ...], low: Column | None, high: Column | None) -> tuple[Scalar, ...]:
    """Those that lie between the least and the greatest bound; all if there is a bound missing."""
    if low is None or high is None or low.null_count or high.null_count or not len(low):
        return members
    least, greatest = pc.min(low).as_py(), pc.max(high).as_py()
    near = members[bisect_left(members, least) : bisect_right(members, greatest)]
    return near or members[:1]


def _holds(compare: Any, bounds: Column | None, value: pa.Scalar[Any]) -> Verdict:
    return True if bounds is None else _unless_known(compare(bounds, value))


def _unless_known(verdict: Column) -> Column:
    """What is not known is possible."""
    return pc.fill_null(verdict, TRUE) if verdict.null_count else verdict


def _scalar(value: Scalar, type_: DataType) -> pa.Scalar[Any] | None:
    """A value as Arrow compares it with bounds of a type, exactly; None if that cannot be done."""
    if isinstance(value, bool) or type_ is Primitive.BOOLEAN:
        return None
    match type_:
        case Primitive.STRING:
            return scalar(value, pa.string()) if isinstance(value, str) else None
        case Primitive.BINARY:
            return scalar(value, pa.binary()) if isinstance(value, bytes) else None
        case Primitive.FLOAT32 | Primitive.FLOAT64:
            exact = isinstance(value, float) or (isinstance(value, int) and abs(value) <= _EXACT_FLOAT)
            return scalar(float(value), pa.float64()) if exact and value == value else None  # noqa: PLR0124 - NaN
        case Decimal():
            exact = isinstance(value, int | decimal.Decimal)
            return pa.scalar(decimal.Decimal(value)) if exact else None  # type: ignore[arg-type]  # one of the two
        case _:
            whole = isinstance(value, int) or (isinstance(value, float | decimal.Decimal) and value == int(value))
            return scalar(int(value), plain_type(type_)) if whole else None


def _promoted(bounds: Column | None, physical: Field, today: Field, sign: int) -> Column | None:
    """Bounds of a field in a file's schema as bounds of what it is today; None if that is not simple."""
    old, new = physical.type, today.type
    if bounds is not None and old is Primitive.FLOAT32:
        step, tiny, side = (scalar(each, pa.float64()) for each in (FLOAT32_STEP, FLOAT32_TINY, float(sign)))
        room = pc.max_element_wise(pc.multiply(pc.abs(bounds), step), tiny)
        bounds = pc.if_else(pc.is_finite(bounds), pc.add(bounds, pc.multiply(room, side)), bounds)
    if bounds is None or old == new:
        return bounds
    if is_integer(old) and is_integer(new):
        return bounds.cast(plain_type(new))
    if new is Primitive.FLOAT64 and (is_integer(old) or old is Primitive.FLOAT32):
        return bounds.cast(pa.float64())
    if old is Primitive.DATE and isinstance(new, Timestamp):
        return _date_bounds(bounds, new)
    return None


def _date_bounds(bounds: Column, new: Timestamp) -> Column | None:
    try:
        return pc.multiply_checked(bounds.cast(pa.int64()), scalar(_SECONDS_PER_DAY * PER_SECOND[new.unit], pa.int64()))
    except pa.ArrowInvalid:
        return None


def _anything(schema_id: int) -> AddFile:
    """A file of which no more is asked than what a field is that it does not have."""
    return AddFile(path="-", size_bytes=0, row_count=1, schema_id=schema_id)


def _and(left: Verdict, right: Verdict) -> Verdict:
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    return pc.and_(left, right)


def _or(left: Verdict, right: Verdict) -> Verdict:
    if isinstance(left, bool):
        return True if left else right
    if isinstance(right, bool):
        return True if right else left
    return pc.or_(left, right)
