"""The mounted Secret becomes Envoy's files, whole and readable by nobody else."""

import json
import stat
from pathlib import Path

import pytest

from smallmodel_operator.gateway.certificates import Certificates


class Mounted:
    def __init__(self, folder: Path) -> None:
        self.secret = folder / "tls"
        self.files = folder / "certificates"
        self.certificates = Certificates(self.secret, self.files)

    def put(self, text: str, *names: str) -> None:
        self.secret.mkdir(exist_ok=True)
        for name in names or ("tls.crt", "tls.key", "ca.crt"):
            (self.secret / name).write_text(f"{name} {text}")

    def shown(self) -> str | None:
        found = json.loads((self.files / "identity.json").read_text())["resources"]
        if not found:
            return None
        text: str = found[0]["tls_certificate"]["private_key"]["inline_string"]
        return text


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


def test_without_a_secret_there_are_files_that_say_nothing(mounted: Mounted) -> None:
    mounted.certificates.keep()

    assert mounted.shown() is None
    assert json.loads((mounted.files / "authority.json").read_text()) == {"resources": []}


def test_a_secret_is_taken_when_it_comes_and_when_it_changes(mounted: Mounted) -> None:
    mounted.certificates.keep()
    for text in ("first", "second"):
        mounted.put(text)
        mounted.certificates.keep()
        assert mounted.shown() == f"tls.key {text}"


def test_what_did_not_change_is_not_written(mounted: Mounted) -> None:
    mounted.put("first")
    mounted.certificates.keep()
    before = (mounted.files / "identity.json").stat().st_ino
    mounted.certificates.keep()

    assert (mounted.files / "identity.json").stat().st_ino == before


def test_a_secret_that_is_gone_or_cut_takes_no_certificate_away(mounted: Mounted) -> None:
    mounted.put("first")
    mounted.certificates.keep()
    (mounted.secret / "ca.crt").unlink()
    mounted.put("second", "tls.crt", "tls.key")
    mounted.certificates.keep()

    assert mounted.shown() == "tls.key first"


def test_nobody_else_reads_the_key(mounted: Mounted) -> None:
    mounted.put("first")
    mounted.certificates.keep()

    assert stat.S_IMODE((mounted.files / "identity.json").stat().st_mode) == 0o600
