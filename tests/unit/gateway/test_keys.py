"""API keys, and the file that they are in."""

import hashlib
import os
from pathlib import Path

import pytest

from agentstop.cli.main import main
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.keys import NO_KEYS, PREFIX, find_key, make_key, read_keys

DIGEST = "0" * 64


def entry(**changes: object) -> dict[str, object]:
    return {"name": "ci", "sha256": DIGEST, "user": "jane", **changes}


def test_a_key_is_random_and_only_its_digest_is_kept() -> None:
    (key, made), (other, _) = make_key("ci", "jane", ["oncall"]), make_key("ci", "jane")
    assert key != other
    assert key.startswith(PREFIX)
    assert len(key) == len(PREFIX) + 43
    assert made.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key.removeprefix(PREFIX) not in made.model_dump_json()


def test_the_key_finds_its_entry_and_nothing_else_does() -> None:
    made = [make_key(f"key-{number}", f"user-{number}") for number in range(3)]
    entries = [each for _, each in made]
    for key, each in made:
        assert find_key(entries, key) is each
    for wrong in ("", PREFIX, made[0][0][:-1], made[0][0] + "x", entries[0].sha256, "\udcff"):
        assert find_key(entries, wrong) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys: [", "no YAML"),
        ("- a", "dictionary"),
        (f"keys: [{entry(sha256='ABC')}]", "sha256"),
        (f"keys: [{entry(user='')}]", "user"),
        (f"keys: [{entry(user='a b ')}]", "user"),
        (f"keys: [{entry(groups=['x'])}, {entry(name='other')}]", "same sha256"),
        (f"keys: [{entry()}, {entry(sha256='1' * 64)}]", "same name"),
        (f"keys: [{entry(admin=True)}]", "admin"),
        ('keys: [{name: a, sha256: "' + DIGEST + '", user: "a\\nImpersonate-User: b"}]', "user"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        read_keys(text)
    assert DIGEST not in str(caught.value)


def test_an_empty_file_has_no_keys() -> None:
    assert read_keys("") == NO_KEYS


def test_a_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_text("1")
    watched = WatchedFile(path, int, 0)
    assert watched.current() == 1
    path.write_text("22")
    assert watched.current() == 22
    path.write_text("no number")
    assert (watched.current(), watched.problem is None) == (22, False)
    path.write_text("4")
    assert (watched.current(), watched.problem) == (4, None)
    path.unlink()
    assert watched.current() == 0
    path.write_text("5")
    assert watched.current() == 5


def test_what_a_mounted_secret_does_is_seen(tmp_path: Path) -> None:
    """The kubelet swaps a link to a folder; files of the same size and time may be behind it."""
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "n").write_text("1" if name == "a" else "2")
        os.utime(folder / "n", (1, 1))
    (tmp_path / "data").symlink_to("a")
    watched = WatchedFile(tmp_path / "data" / "n", int, 0)
    assert watched.current() == 1
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").replace(tmp_path / "data")
    assert watched.current() == 2


def test_the_verb_prints_the_key_once_and_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "key", "ci", "--user", "jane", "--group", "oncall", "--group", "dev"]) == 0
    printed = capsys.readouterr().out
    key = next(word for word in printed.split() if word.startswith(PREFIX))
    assert printed.count(key) == 1
    (found,) = read_keys(printed).keys
    assert (found.name, found.user, found.groups) == ("ci", "jane", ("oncall", "dev"))
    assert find_key([found], key) is found


def test_the_verb_says_what_is_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "key", "ci", "--user", ""]) == 1
    assert "user" in capsys.readouterr().err
