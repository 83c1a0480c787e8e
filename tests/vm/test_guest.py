"""What run-guest promises of any command: output, exit code, files, limit, interruption."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import guest as guests
import pytest

OLDER = {"kernel": "612"}  # boots a little sooner; these tests need no particular kernel


def test_output_and_exit_code_are_those_of_the_command(guest, tmp_path):
    count = 3_000_000
    line = f"touch here; head -c {count} /dev/zero | tr '\\0' x; echo -n end >&2; exit 7"
    done = guest(line, cwd=tmp_path, **OLDER)
    assert done.returncode == 7
    assert len(done.stdout) == count + 3
    assert hashlib.sha256(done.stdout.encode()).digest() == (
        hashlib.sha256(b"x" * count + b"end").digest()
    )
    assert done.stderr == ""
    assert (tmp_path / "here").exists()  # though the guest has a /tmp of its own


LOOK = """
printf '<%s>\\n' "$@" "$PWD" "$GIVEN" "$TAKEN" "$FDP_GUEST" "$(id -u)" "$(nproc)"
free -m | awk '/^Mem:/ {print ($2 > 500 && $2 < 768) ? "memory" : $2}'
echo changed > here
echo changed > ../granted/there
touch ../outside && echo "written outside of what is writable"
ls /tmp /mnt
read -r -t 5 line || echo "no input"
"""


def test_arguments_environment_and_files(guest, monkeypatch):
    monkeypatch.setenv("TAKEN", "from $here")
    # Not below /tmp, of which the guest has its own.
    with tempfile.TemporaryDirectory(prefix="vm test ", dir=guests.ROOT / "build") as base:
        here, granted = Path(base, "it's here"), Path(base, "granted")
        here.mkdir()
        granted.mkdir()
        (here / "look").write_text(LOOK)
        done = guest(
            *("bash", "look", "two words", "$HOME"),
            cwd=here,
            writable=granted,
            env=["GIVEN=a 'b'", "TAKEN"],
            cpus=2,
            memory=768,
            **OLDER,
        )
        files = sorted(path.name for path in Path(base).rglob("*"))
        changed = (here / "here").read_text() + (granted / "there").read_text()
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    expected = ["two words", "$HOME", str(here), "a 'b'", "from $here", "1", "0", "2"]
    assert lines[:8] == [f"<{text}>" for text in expected]
    assert lines[8] == "memory"
    assert "Read-only file system" in lines[9]
    assert lines[10:] == ["/mnt:", "", "/tmp:", "no input"]
    assert changed == "changed\nchanged\n"
    assert files == ["granted", "here", "it's here", "look", "there"]


def test_limit_ends_the_guest(guest):
    begin = time.monotonic()
    done = guest("sleep 600", limit=3, **OLDER)
    assert done.returncode == 124
    assert "the limit of 3 s was hit" in done.stderr
    assert 3 <= time.monotonic() - begin < 13


def test_guest_that_dies_shows_its_console(guest):
    done = guest("echo begun; echo c >/proc/sysrq-trigger; sleep 600", **OLDER)
    assert done.returncode == 125
    assert "Kernel panic - not syncing: sysrq triggered crash" in done.stderr
    assert "ended without a result" in done.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--kernel", "5"], "--kernel"),
        (["--size", "big"], "'big' is not a size"),
        (["--env", "FDPSTORE_NOT_SET"], "it is not set here"),
        (["--env", "1=2"], "no name of a variable"),
        (["--writable", "/nowhere"], "no such directory"),
        (["--writable", "/proc"], "has its own"),
        (["--ns-option", "ms"], "not KEY=VALUE"),
        (["--ns-option", "ms=8,fdp.ruhs=1"], "not KEY=VALUE"),
        (["--ruhs", "1,2"], "separated by ';'"),
        (["--limi", "3"], "unrecognized arguments: --limi"),
    ],
)
def test_wrong_option_is_refused_before_a_boot(options, complaint):
    done = subprocess.run([guests.RUN_GUEST, *options, "true"], capture_output=True, text=True)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_what_qemu_refuses_is_shown(guest):
    done = guest("true", ruhs="0-99")
    assert done.returncode == 125
    assert "[qemu]" in done.stderr
    assert "ruh" in done.stderr


# -- nothing is left behind ------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A set-up of its own, so that its processes and files can be told from those of others."""
    real = Path(os.environ.get("FDPSTORE_VM_HOME") or guests.ROOT / "build" / "vm")
    own = tmp_path / "vm"
    own.mkdir()
    for entry in real.iterdir():
        if not entry.name.startswith("run."):
            (own / entry.name).symlink_to(entry)
    monkeypatch.setenv("FDPSTORE_VM_HOME", str(own))
    return own


def start(*options: str) -> subprocess.Popen[str]:
    command = [guests.RUN_GUEST, "--kernel=612", *options, "echo begun; sleep 600"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes_of(home: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if re.search(rf"(virtiofsd|qemu).*{re.escape(str(home))}|{re.escape(str(home))}", line):
                found.append(line)
    return found


def gone_after(home: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while processes_of(home):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_two_at_once_and_interrupted_leave_nothing(home):
    numbers = (signal.SIGINT, signal.SIGTERM)
    both = [start("--second") for _ in numbers]
    assert [guest.stdout.readline() for guest in both] == ["begun\n", "begun\n"]
    assert len(processes_of(home)) == 4  # QEMU and virtiofsd of each
    assert len(list(home.glob("run.*"))) == 2
    for number, guest in zip(numbers, both, strict=True):
        guest.send_signal(number)
        assert guest.wait(timeout=20) == 128 + number
        assert guest.communicate() == ("", "")
    assert processes_of(home) == []
    assert list(home.glob("run.*")) == []


def test_killed_takes_its_processes_along_and_the_next_removes_its_files(home):
    guest = start()
    assert guest.stdout.readline() == "begun\n"
    guest.kill()
    guest.communicate()
    assert gone_after(home, 20), processes_of(home)
    assert len(list(home.glob("run.*"))) == 1
    assert guests.run("true", qemu="-no-such-option").returncode == 125
    assert list(home.glob("run.*")) == []


def test_reader_that_goes_away_ends_the_guest(home):
    guest = subprocess.Popen([guests.RUN_GUEST, "--kernel=612", "yes"], stdout=subprocess.PIPE)
    guest.stdout.read(10)
    guest.stdout.close()
    assert guest.wait(timeout=20) == 128 + signal.SIGPIPE
    assert processes_of(home) == []
    assert list(home.glob("run.*")) == []
