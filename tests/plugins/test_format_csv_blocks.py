"""CSV text in blocks: nothing is lost between them, and what is read is what Arrow reads of the whole."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw.data.tables import prefetch as ahead
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw_format_csv import strict as csvsource
from mlopsfw_format_csv.blocks import Blocks, line_at

FIELD = st.sampled_from(
    ["1", "x", "", '"a,b"', '"two\nlines"', '"say ""x"""', '5" x', '"a" b', '""', "\ufeff", '"x\r\ny"', "é"]
)
ROW = st.lists(FIELD, min_size=2, max_size=2).map(",".join)
TABLE = st.lists(st.tuples(ROW, st.sampled_from(["\n", "\r\n", "\r", "\n\n"])), max_size=30)


def read(path: Path) -> list[dict]:
    options = ReadOptions(types={"a": "string", "b": "string"})
    return pa.Table.from_batches(csvsource.read_csv(path, options, {})).to_pylist()


def whole(data: bytes) -> list[dict]:
    texts = pc.ConvertOptions(column_types={"a": pa.string(), "b": pa.string()})
    rows = pc.read_csv(io.BytesIO(data), parse_options=pc.ParseOptions(newlines_in_values=True), convert_options=texts)
    return [{name: value or None for name, value in row.items()} for row in rows.to_pylist()]


@given(TABLE, st.integers(40, 200))
def test_the_rows_are_those_that_arrow_reads_of_the_whole_text(tmp_path_factory, rows, size):
    data = ("a,b\n" + "".join(row + end for row, end in rows)).encode()
    path = tmp_path_factory.getbasetemp() / "blocks.csv"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvsource, "_BLOCK", size)
        assert read(path) == whole(data)


@given(st.binary(max_size=400).map(lambda data: data.replace(b"\0", b'"')), st.integers(1, 50))
def test_blocks_and_what_is_left_are_the_whole_text(data, size):
    blocks = Blocks(io.BytesIO(data), ",", most=100, size=size)
    cut = b"".join(blocks)
    assert data.startswith(cut)
    if blocks.left is None:
        assert cut == data
    else:
        assert blocks.left.start == len(cut)
        assert data[len(cut) :].startswith(blocks.left.head)


def test_a_row_longer_than_a_block_is_told_from_a_quote_that_is_never_closed():
    rest = b'"\n' + b"1,x\n" * 90
    long, unclosed = (
        Blocks(io.BytesIO(b'a,b\n1,"' + b"y" * 90 + end), ",", most=64, size=16) for end in (rest, b'"' + rest)
    )
    assert list(long) == list(unclosed) == [b"a,b\n"]
    assert not long.left.open
    assert (unclosed.left.open, unclosed.left.size) == (True, 3 + 90 + 3 + 360)


def test_a_line_is_counted_however_lines_end():
    assert [line_at(io.BytesIO(b"a\nb\r\nc\rd"), start) for start in range(9)] == [1, 1, 2, 2, 3, 3, 3, 4, 4][:9]


def test_work_ahead_keeps_its_order_and_tells_the_first_failure():
    def work(number: int) -> int:
        if number == 7:
            raise ValueError(number)
        return number * number

    assert list(ahead.in_order(work, range(7))) == [n * n for n in range(7)]
    seen = []
    with pytest.raises(ValueError, match="7"):
        seen.extend(ahead.in_order(work, range(1000)))
    results = ahead.in_order(work, range(1000))
    assert [next(results) for _ in range(7)] == [n * n for n in range(7)]
