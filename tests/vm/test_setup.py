"""The set-up: quick when all is there, and the reason in one line where it cannot be had."""

import hashlib
import os
import subprocess
import time
from pathlib import Path

import guest
import pytest

SETUP = guest.HERE / "setup"


def run_setup(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SETUP, *options], capture_output=True, text=True, env=os.environ | environment
    )


def test_all_there_is_quick_and_changes_nothing():
    home = guest.ROOT / "build" / "vm"
    before = {path: path.stat().st_mtime for path in home.rglob("*") if path.name != "lock"}
    begin = time.monotonic()
    done = run_setup(FDPSTORE_VM_HOME=str(home))
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready: QEMU")
    assert seconds < 2  # 0.05 s on a machine that has nothing else to do
    after = {path: path.stat().st_mtime for path in home.rglob("*") if path.name != "lock"}
    assert after == before


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Makes apt, as the set-up uses it, know one source only, and no list of it."""

    def configure(source: str) -> None:
        (tmp_path / "sources.list").write_text(source)
        (tmp_path / "lists" / "partial").mkdir(parents=True)
        (tmp_path / "apt.conf").write_text(
            f'Dir::Etc::SourceList "{tmp_path}/sources.list"; Dir::Etc::SourceParts "/dev/null";\n'
            f'Dir::State::Lists "{tmp_path}/lists"; Acquire::Retries::Delay "0";\n'
        )
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))

    return configure


def archive_at(path: Path, codename: str) -> None:
    """A mirror with one package."""
    packages = path / "dists" / codename / "main" / "binary-amd64" / "Packages"
    packages.parent.mkdir(parents=True)
    packages.write_text("Package: n\nVersion: 1\nArchitecture: amd64\nFilename: n\nSize: 1\n\n")
    digest = hashlib.sha256(packages.read_bytes()).hexdigest()
    (path / "dists" / codename / "Release").write_text(
        f"Origin: Debian\nCodename: {codename}\nComponents: main\nArchitectures: amd64\n"
        f"SHA256:\n {digest} {packages.stat().st_size} main/binary-amd64/Packages\n"
    )


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("deb http://127.0.0.1:9/debian bookworm main\n", "127.0.0.1"),
        ("deb [trusted=yes] file:/nonexistent bookworm main\n", "/nonexistent"),
        ("deb [trusted=yes] file:{archive} sid main\n", "no source of Debian 12"),
        ("deb [trusted=yes] file:{archive} bookworm main\n", "bookworm-backports"),
        ("", "no source of Debian that answers"),
    ],
)
def test_no_mirror_is_77_with_the_reason_in_one_line(apt, tmp_path, source, complaint):
    for codename in ("bookworm", "sid"):
        archive_at(tmp_path / "debian", codename)
    apt(source.format(archive=tmp_path / "debian"))
    done = run_setup(FDPSTORE_VM_HOME=str(tmp_path / "home"))
    assert done.returncode == 77, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert complaint in done.stderr
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["lock"]


def test_without_root_is_77():
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", SETUP], capture_output=True, text=True
    )
    assert done.returncode == 77
    assert "needs root" in done.stderr


def test_unknown_option_is_refused():
    assert run_setup("--quick").returncode == 2
    assert "bookworm-backports" in run_setup("--help").stdout
