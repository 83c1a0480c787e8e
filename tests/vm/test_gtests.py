"""C++ tests that need a namespace, on both kernels. Add yours here: one line for each guest."""

import guest
import pytest
from gtests import Result, gtests, judge

NVME = {"second": True, "deallocated": "zero", "env": "FDP_DISCARD_DEVICE=/dev/ng0n1"}

test_io_on_newer_kernel = gtests("test_unit_io", "NvmeGuest*", kernel="7", **NVME)
test_io_on_older_kernel = gtests("test_unit_io", "NvmeGuest*", kernel="612", **NVME)


# -- that failures come through --------------------------------------------------------------------

OUTPUT = """[==========] Running 4 tests from 1 test suite.
[ RUN      ] A.Good
noise[       OK ] A.Good (3 ms)
[ RUN      ] A.Bad
a.cpp:1: Failure
expected 1, got 2
[  FAILED  ] A.Bad (1 ms)
[ RUN      ] A.Skipped
a.cpp:9: Skipped
no such device
[  SKIPPED ] A.Skipped (0 ms)
[ RUN      ] A/B.Param/0
[  FAILED  ] A/B.Param/0, where GetParam() = 4 (2 ms)
[ RUN      ] A.Crash
"""


def test_each_case_has_its_result():
    names = ["A.Good", "A.Bad", "A.Skipped", "A/B.Param/0", "A.Crash", "A.Never"]
    results = judge(names, guest.Done(139, OUTPUT, "Segmentation fault"))
    assert results["A.Good"] == Result("OK", "noise")
    assert results["A.Bad"] == Result("FAILED", "a.cpp:1: Failure\nexpected 1, got 2")
    assert results["A.Skipped"] == Result("SKIPPED", "a.cpp:9: Skipped\nno such device")
    assert results["A/B.Param/0"].outcome == "FAILED"
    for name in ("A.Crash", "A.Never"):
        assert results[name].outcome == "FAILED"
        assert "exit code 139" in results[name].output
        assert "Segmentation fault" in results[name].output


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [("A.Good", 1, "and then the program failed"), ("A.Skipped", 0, "all of them were skipped")],
)
def test_what_looks_good_but_is_not(name, code, complaint):
    result = judge([name], guest.Done(code, OUTPUT, ""))[name]
    assert result.outcome == "FAILED"
    assert complaint in result.output
