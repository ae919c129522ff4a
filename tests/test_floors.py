from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_detect

ROOT = Path(edge_detect.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
TALK = {Path("cli.py"), Path("probe.py"), Path("web/audience.py")}  # the last two are programs


def outputs(tree: ast.AST) -> Iterator[int]:
    """Lines that write to standard output."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sys.stdout.write":
            yield node.lineno


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_fits_into_the_head(module: Path) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= 350


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_commands_print(module: Path) -> None:
    lines = list(outputs(ast.parse((ROOT / module).read_text())))

    assert not lines or module in TALK or module.parts[0] == "commands"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_says_what_it_is_in_one_sentence(module: Path) -> None:
    text = ast.get_docstring(ast.parse((ROOT / module).read_text())) or ""

    first = text.partition("\n")[0]
    assert first.endswith(".")
    assert first.partition(": ")[2]


def test_the_look_for_prints_finds_one() -> None:
    assert list(outputs(ast.parse("x = 1\nprint(x)\nsys.stdout.write('x')"))) == [2, 3]
