"""`make histories`: it tells which rule a history breaks, and how to walk it again."""

import pytest

from .world import __main__ as new_histories
from .world.actors import Actors


class Breaking(Actors):
    """Whose histories all break a rule."""

    def begin(self) -> None:
        raise AssertionError("rule 4: a pod is made after the end\nand more that pytest says of it")


def test_what_breaks_a_rule_is_told_with_the_command_that_walks_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(new_histories.KINDS, "Breaking", Breaking)
    monkeypatch.setattr(new_histories, "BATCH", 2)
    failed = new_histories.search(["Breaking"], 0.5)
    said = capsys.readouterr().out.splitlines()

    assert failed >= 2
    assert said[0] == "AssertionError: rule 4: a pod is made after the end"
    assert said[1].startswith('  again: make histories ARGS="--of Breaking --seed ')
    assert said[-1] == f"{failed} histories, {failed} failed"


def test_a_seed_is_walked_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["world", "--of", "JobActors", "--seed", "201"])
    assert new_histories.main() == 0
    assert capsys.readouterr().out == "no rule is broken\n"


def test_a_seed_of_no_kind_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["world", "--seed", "201"])
    with pytest.raises(SystemExit):
        new_histories.main()
    assert capsys.readouterr().err.endswith("error: --seed belongs to one kind: say which with --of NAME\n")
