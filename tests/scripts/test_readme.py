"""The README says what the program does: tables, commands, files."""

import json
import re
import subprocess
import sys

import fdpstore
import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_tables_are_those_of_the_program():
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "readme_tables.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, f"run .ci/readme_tables.py --write\n{done.stdout}{done.stderr}"


def test_every_path_it_names_exists():
    folders = r"include|src|tests|python|bench|policies|\.ci"
    paths = set(re.findall(rf"`((?:{folders})/[\w./-]*)`", README))
    assert paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("block", re.findall(r"```json\n(.*?)```", README, re.DOTALL))
def test_adapter_configurations_are_valid(block):
    config = json.loads(block)
    if config["type"] == "plugin":
        fdpstore.parse_options(config["adapter_params"])
