"""./run-tests and what it is made of: counting, packages, the rules of the tree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

CTEST_XML = """<testsuite name="x">
<testcase name="A.Good" status="run"><system-out>fine</system-out></testcase>
<testcase name="A.Bad" status="fail"><failure message="Failed"/>
<system-out>expected 1, got 2</system-out></testcase>
<testcase name="A.Skipped" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
<system-out>[ RUN      ] A.Skipped
/src/a.cpp:12: Skipped
no XFS here

[  SKIPPED ] A.Skipped (0 ms)
</system-out></testcase>
</testsuite>"""
PYTEST_XML = """<testsuites><testsuite name="pytest">
<testcase classname="t" name="test_ok"/>
<testcase classname="t" name="test_skip"><skipped message="needs root">t.py:1</skipped></testcase>
<testcase classname="t" name="test_error"><error message="fixture broke">trace</error></testcase>
</testsuite></testsuites>"""


def count(*arguments: object) -> list[str]:
    command = [sys.executable, ROOT / ".ci" / "count_results.py", "--stage", "s", *arguments]
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_ctest_results_are_counted_with_reasons(tmp_path):
    (tmp_path / "c.xml").write_text(CTEST_XML)
    lines = count("--exit-code", 8, tmp_path / "c.xml")
    assert lines[0] == "1 1 1"
    assert "skipped A.Skipped: no XFS here" in lines
    assert lines[-2:] == ["failed A.Bad", "    expected 1, got 2"]


def test_program_that_was_not_built_is_a_failure(tmp_path):
    (tmp_path / "n.xml").write_text(
        '<testsuite><testcase name="A_NOT_BUILT" status="notrun">'
        '<skipped message="Unable to find executable"/></testcase></testsuite>'
    )
    assert count("--exit-code", 8, tmp_path / "n.xml")[0] == "0 1 0"


def test_pytest_results_are_counted_with_reasons(tmp_path):
    (tmp_path / "p.xml").write_text(PYTEST_XML)
    lines = count("--exit-code", 1, tmp_path / "p.xml")
    assert lines[0] == "1 1 1"
    assert "skipped test_skip: needs root" in lines
    assert "failed test_error" in lines


def test_tests_skipped_for_one_reason_share_a_line(tmp_path):
    case = '<testcase name="{}"><skipped message="{}"/></testcase>'
    cases = [("A", "no root"), ("B", "no mirror"), ("C", "no mirror"), ("D", "no mirror")]
    text = "".join(case.format(*one) for one in cases)
    (tmp_path / "s.xml").write_text(f"<testsuite>{text}</testsuite>")
    lines = count("--exit-code", 0, tmp_path / "s.xml")
    assert lines == ["0 0 4", "skipped A: no root", "skipped B and 2 more: no mirror"]


def test_crashed_stage_is_a_failure(tmp_path):
    assert count("--exit-code", 139)[0] == "0 1 0"
    (tmp_path / "cut.xml").write_text(CTEST_XML[:100])
    assert count("--exit-code", 0, tmp_path / "cut.xml")[0] == "0 1 0"
    (tmp_path / "good.xml").write_text('<testsuite><testcase name="A"/></testsuite>')
    assert count("--exit-code", 1, tmp_path / "good.xml")[0] == "1 1 0"


GTEST_XML = """<testsuites><testsuite name="V/A">
<testcase classname="V/A" name="Good/x" status="run" result="completed"/>
{bad}
<testcase classname="V/A" name="Skipped/x" status="run" result="skipped">
<skipped message="/src/a.cpp:33&#x0A;not in the guest"/></testcase></testsuite></testsuites>"""
GTEST_BAD = """<testcase classname="V/A" name="Bad/x" status="run" result="completed">
<failure message="m"><![CDATA[/src/a.cpp:12: expected 1]]></failure></testcase>"""


def count_shards(tmp_path, outcome: str, inner: str | None) -> list[str]:
    (tmp_path / "c.xml").write_text(
        f'<testsuite><testcase name="core-1">{outcome}</testcase></testsuite>'
    )
    if inner is not None:
        (tmp_path / "core-1.xml").write_text(GTEST_XML.format(bad=inner))
    return count("--exit-code", 8 if outcome else 0, "--shards", tmp_path, tmp_path / "c.xml")


def test_a_shard_counts_as_the_tests_in_it(tmp_path):
    failed = '<failure message="Failed"/><system-out>leak of 8 bytes</system-out>'
    assert count_shards(tmp_path, "", "") == ["1 0 1", "skipped V/A.Skipped/x: not in the guest"]
    (tmp_path / "core-1.xml").write_text("<testsuites/>")  # more shards than tests
    assert count("--exit-code", 0, "--shards", tmp_path, tmp_path / "c.xml")[0] == "0 0 0"
    lines = count_shards(tmp_path, failed, GTEST_BAD)
    assert (lines[0], lines[2:]) == (
        "1 1 1",
        ["failed V/A.Bad/x", "    /src/a.cpp:12: expected 1"],
    )
    # A sanitizer that complains when all tests have passed.
    lines = count_shards(tmp_path, failed, "")
    assert (lines[0], lines[2:]) == ("1 1 1", ["failed core-1", "    leak of 8 bytes"])


def test_a_shard_that_crashed_is_a_failure(tmp_path):
    lines = count_shards(tmp_path, '<failure message="SEGFAULT"/>', None)
    assert lines[:2] == ["0 1 0", "failed core-1"]


def test_lint_stage_counts_as_one():
    assert count("--exit-code", 0) == ["1 0 0"]


def run_tests(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "run-tests", *options], capture_output=True, text=True)


def test_run_tests_lists_its_stages_and_refuses_others():
    stages = [line.split()[0] for line in run_tests("--list").stdout.splitlines()]
    assert {"format", "ruff", "dev", "python", "scripts", "vm", "asan", "tsan", "tidy"} <= {*stages}
    for options in (["--only", "nothing"], ["--quick"], ["--only"]):
        done = run_tests(*options)
        assert done.returncode == 2
        assert "see --list" in done.stderr or "see --help" in done.stderr


def test_last_line_is_the_count():
    done = run_tests("--only", "ruff")
    expected = {0: "1 passed, 0 failed", 1: "0 passed, 1 failed"}  # as the tree stands
    assert done.stdout.splitlines()[-1] == expected[done.returncode]


def test_skipped_are_counted_on_the_line_before():
    script = f"""
        . <(sed -n '/^summary() /,/^}}/p' {ROOT}/run-tests)
        passed=3 failed=1 skipped=2 skips=("vm: a: no mirror" "dev: b: no XFS")
        failures=("dev: c")
        summary"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "skipped: vm: a: no mirror",
        "skipped: dev: b: no XFS",
        "failed: dev: c",
        "2 skipped",
        "3 passed, 1 failed",
    ]


ASIDE = """
    . <(sed -n '/^report_stage() /,/^}}/p; /^start_aside() /,/^}}/p; /^finish_aside() /,/^}}/p' \
        {root}/run-tests)
    elapsed() {{ echo "$1 s"; }}
    count_stage() {{ echo "$1 $2 $3"; }}
    stage_good() {{ echo fine; }}
    stage_bad() {{ false; echo "not reached"; }}
    LOG_DIR={logs} lane=
    start_aside good bad
    {then}"""


def test_stages_aside_are_counted_when_they_end(tmp_path):
    then = "finish_aside good test first; finish_aside bad test second"
    script = ASIDE.format(root=ROOT, logs=tmp_path, then=then)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert "good test 0\n" in done.stdout
    assert "bad test 1\n" in done.stdout
    assert (tmp_path / "good.log").read_text() == "fine\n"
    assert (tmp_path / "bad.log").read_text() == ""


def test_stage_aside_that_is_killed_has_failed(tmp_path):
    then = "kill -KILL -- -$lane; finish_aside bad test second"
    script = ASIDE.format(root=ROOT, logs=tmp_path, then=then).replace("echo fine", "sleep 60")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert "bad test 1\n" in done.stdout, done


def test_missing_package_without_root_prints_the_command():
    script = f'ROOT={ROOT}; . "$ROOT/.ci/environment.sh"; need_packages bash no-such-package'
    command = ["bash", "-c", script]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "apt-get install -y --no-install-recommends no-such-package\n" in done.stderr


# -- tests/architecture/check_architecture.py must find what it is for -----------------------------


def check(root: Path, rule: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "tests" / "architecture" / "check_architecture.py"
    return subprocess.run(
        [sys.executable, script, rule, "--root", root], capture_output=True, text=True
    )


@pytest.fixture
def tree(tmp_path):
    """A small tree that keeps all rules."""
    good = {
        "include/fdpstore/types.hpp": "#pragma once\n#include <cstdint>\n",
        "src/io/ring.hpp": '#pragma once\n#include <liburing.h>\n#include "fdpstore/types.hpp"\n',
        "src/core/index.hpp": '#pragma once\n#include "format/layout.hpp"\n',
        "src/format/layout.hpp": "#pragma once\n",
    }
    for name, text in good.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("rule", ["includes", "headers", "sizes"])
def test_good_tree_passes(tree, rule):
    done = check(tree, rule)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("src/core/index.hpp", '#include "io/ring.hpp"', "src/core must not include"),
        ("src/format/layout.hpp", '#include "core/index.hpp"', "src/format must not include"),
        ("src/core/index.hpp", "#include <liburing.h>", "<liburing.h> belongs to src/io"),
        ("include/fdpstore/types.hpp", "#include <spdlog/spdlog.h>", "<spdlog/spdlog.h> belongs"),
        ("include/fdpstore/types.hpp", '#include "io/ring.hpp"', "include/fdpstore must not"),
        ("src/io/ring.hpp", '#include "fmt/format.h"', "is no file of this project"),
        ("src/extra/new.hpp", "#pragma once", "in no layer"),
    ],
)
def test_forbidden_include_is_found(tree, name, line, complaint):
    path = tree / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + line + "\n")
    done = check(tree, "includes")
    assert done.returncode == 1
    assert complaint in done.stdout


def test_header_that_needs_another_is_found(tree):
    (tree / "src/io/ring.hpp").write_text("#pragma once\ninline std::uint32_t zero() { return 0; }")
    done = check(tree, "headers")
    assert done.returncode == 1
    assert "src/io/ring.hpp:1: does not compile alone" in done.stdout


@pytest.mark.parametrize(
    ("first", "found"), [('#include "io/ring.hpp"\n', False), ("#include <cstdint>\n", True)]
)
def test_header_that_its_source_includes_first_is_left_to_the_build(tree, first, found):
    (tree / "src/io/ring.hpp").write_text("#pragma once\ninline std::uint32_t zero() { return 0; }")
    (tree / "src/io/ring.cpp").write_text(first + '#include "io/ring.hpp"\n')
    assert (check(tree, "headers").returncode == 1) == found


@pytest.mark.parametrize("text", ["int x;\n" * 501, "// " + "x" * 98 + "\n"])
def test_long_file_and_long_line_are_found(tree, text):
    (tree / "src/io/ring.cpp").write_text(text)
    done = check(tree, "sizes")
    assert done.returncode == 1
    assert "src/io/ring.cpp" in done.stdout
