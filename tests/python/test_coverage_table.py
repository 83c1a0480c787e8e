"""COVERAGE.md names every method and option, and only tests that exist."""

import re
from pathlib import Path

import fdpstore
import pytest
from engine import torch  # noqa: F401  skips where LMCache is not installed
from fdpstore._extra_config import PER_RANK
from fdpstore.lmcache import FdpL2Adapter
from fdpstore.lmcache_backend import FdpStorageBackend
from fdpstore.native import Connector

HERE = Path(__file__).parent
SECTIONS = dict(
    part.split("\n", 1) for part in (HERE / "COVERAGE.md").read_text().split("\n## ")[1:]
)
ROW = re.compile(r"^\| `([^|]*)` \| (.*) \|$", re.MULTILINE)


def rows(title):
    """Name → cell with its tests, of the section whose title contains `title`."""
    (text,) = [text for name, text in SECTIONS.items() if title in name]
    return dict(ROW.findall(text))


def methods_of(kind):
    """Methods that others may call, inherited ones included."""
    return {
        name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))
    }


@pytest.mark.parametrize("kind", [FdpL2Adapter, Connector, FdpStorageBackend])
def test_every_method_is_in_the_table(kind):
    expected = methods_of(kind)
    assert len(expected) > 5
    named = set(rows(kind.__name__))
    assert named - set(PER_RANK) == expected


def test_every_option_is_in_the_table():
    assert set(rows("Options")) == {row["name"] for row in fdpstore.option_table()}
    assert set(PER_RANK) <= set(rows("FdpStorageBackend"))


def test_every_row_names_tests_that_exist():
    written = {
        f"{file.name}::{name}"
        for file in HERE.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    for file in HERE.parent.rglob("*_test.cpp"):
        tests = re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", file.read_text(), re.MULTILINE)
        written |= {f"{suite}.{name}" for suite, name in tests}
    for title, text in SECTIONS.items():
        for name, cell in re.findall(r"^\| (`.*?) \| (`.*) \|$", text, re.MULTILINE):
            tests = re.findall(r"`([^`]+)`", cell)
            assert tests, f"{title}: {name} names no test"
            assert set(tests) <= written, f"{title}: {name}: {set(tests) - written}"
