"""The commands on the page of every open board are those of the kit."""

import re
import shlex

import pytest

from stoic.hw import boards, cli

NAMES = boards.names(needs_vivado=False)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_board_has_commands_that_exist(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    page = (boards.load(name).pins.parent / "README.md").read_text()
    found = [shlex.split(line, comments=True) for line in re.findall("^stoic .*", page, re.M)]
    verbs = [words[1:3] if words[1] == "board" else words[1:2] for words in found]
    assert verbs[0] == ["synth"] and verbs[1] in (["deploy"], ["board", "program"])
    assert verbs[2:] == [["board", "identify"], ["board", "selftest"]]
    for words, verb in zip(found, verbs, strict=True):
        assert words[words.index("--board") + 1] == name
        assert cli.run([*verb, "--help"]) == 0
        offered = capfd.readouterr().out
        assert all(f"{word} " in offered for word in words if word.startswith("--"))
