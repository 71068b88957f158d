"""JSON lines fulfil the contract of formats."""

from __future__ import annotations

import json

import pytest

from mlopsfw.testing.format import FormatConformance
from mlopsfw_format_json.reading import JsonLines


class TestJsonLines(FormatConformance):
    @pytest.fixture
    def reader(self):
        return JsonLines()

    @pytest.fixture
    def suffix(self):
        return ".jsonl"

    @pytest.fixture
    def write(self):
        return lambda table, path: path.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))

    @pytest.fixture
    def spoil(self):
        def spoiled(path):
            data = path.read_bytes()
            path.write_bytes(data + b'{"n": 1, \n')
            return data.count(b"\n") + 1

        return spoiled
