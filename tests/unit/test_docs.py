"""What the documentation says is so: links lead somewhere, commands and manifests are real."""

import ast
import inspect
import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest
import typer.main
import yaml
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from smallmodel_operator.api.modelcard import Evidence
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.catalog.rules import DEFAULT_SECRET
from smallmodel_operator.cli.cluster.app import app as cluster_app
from smallmodel_operator.cli.main import app, main
from smallmodel_operator.cli.target import Target, choose_target
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.local.manifests import Manifest, parse
from smallmodel_serving.runtime import metrics

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
GROUPS: Final = {
    Target.LOCAL: typer.main.get_command(app),
    Target.CLUSTER: typer.main.get_command(cluster_app),
}

FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN: Final = re.compile(r"`([^`\n]+)`")
HEADING: Final = re.compile(r"^#+ +(.*)$", re.MULTILINE)
OUTSIDE: Final = re.compile(r"^[a-z]+:")
PLACEHOLDER: Final = re.compile(r"[A-Z|…]+")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = text_of(page)
        for match in FENCE.finditer(text):
            if match[2] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(page, line, match[2], match[3]))
    return found


def links_of(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the heading of each link that stays in the repository."""
    for match in LINK.finditer(prose_of(page)):
        if OUTSIDE.match(match[1]) is None:
            file, _, heading = match[1].partition("#")
            yield (Path(os.path.normpath(page.parent / file)) if file else page), heading


def headings_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    plain = (re.sub(r"[^\w\- ]", "", found.lower()) for found in HEADING.findall(prose_of(page)))
    return {title.strip().replace(" ", "-") for title in plain}


def command_lines() -> list[tuple[str, str]]:
    """Each line that a reader types, with where it stands: after `$`, or all where none has it."""
    found: list[tuple[str, str]] = []
    for block in blocks("console", "sh", "bash"):
        lines = block.text.replace("\\\n", " ").splitlines()
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found.extend((str(block), line) for line in typed or lines)
    return found


def slm_words(line: str) -> list[str] | None:
    """The words after `slm` in a command line, or None where it runs another program."""
    # What follows `>` is the shell's.
    words = list(takewhile(lambda word: word != ">", shlex.split(line, comments=True)))
    for place, word in enumerate(words):
        if Path(word).name == "slm":
            return words[place + 1 :]
    return None


SLM_LINES: Final = [(at, words) for at, line in command_lines() if (words := slm_words(line))]
SLM_SPANS: Final = [
    (str(page.relative_to(ROOT)), span)
    for page in PAGES
    for span in SPAN.findall(prose_of(page))
    if span.startswith("slm ")
]
MANIFESTS: Final = [
    block
    for block in blocks("yaml")
    if re.search(r"^kind: ", block.text, re.MULTILINE)
    and "Written by `make generate`" not in text_of(block.page)
]


def find_command(words: list[str]) -> tuple[TyperCommand, list[str]]:
    """Walk the groups as far as the words name commands; return the command and the rest."""
    group = GROUPS[choose_target(words, {})]
    while isinstance(group, TyperGroup):
        name, *words = words
        assert name in group.commands, f"there is no command {name!r}"
        group = group.commands[name]
    assert isinstance(group, TyperCommand)
    return group, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = [
        f"{target}#{heading}"
        for target, heading in links_of(page)
        if not target.exists()
        or (heading and target.suffix == ".md" and heading not in headings_of(target))
    ]
    assert broken == []


def test_each_page_is_reachable_from_the_index() -> None:
    reached, ahead = set[Path](), [DOCS / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md" and page.is_file():
            reached.add(page)
            ahead.extend(target for target, _ in links_of(page))
    pages = {page for page in PAGES if DOCS in page.parents}
    assert {str(page.relative_to(ROOT)) for page in pages - reached} == set()


def test_commands_are_found_in_the_documentation() -> None:
    assert len(SLM_LINES) > 20
    assert len(SLM_SPANS) > 20


@pytest.mark.parametrize(("at", "words"), SLM_LINES)
def test_each_command_line_is_one_that_slm_takes(at: str, words: list[str]) -> None:
    command, arguments = find_command(words)
    try:
        command.make_context("slm", arguments)
    except TyperException as error:
        pytest.fail(f"{at}: slm {shlex.join(words)}: {error}")


@pytest.mark.parametrize(("at", "span"), sorted(set(SLM_SPANS)))
def test_each_command_that_is_mentioned_exists_with_its_options(at: str, span: str) -> None:
    first, *rest = [word for word in span.split()[1:] if word != "--debug"]
    if PLACEHOLDER.fullmatch(first):
        return
    alternatives = [[first, *rest]]
    if rest and "|" in rest[0] and not PLACEHOLDER.fullmatch(rest[0]):
        alternatives = [[first, word, *rest[1:]] for word in rest[0].split("|")]
    for words in alternatives:
        command, arguments = find_command([word.strip("[]") for word in words])
        known = {"--help"} | {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        asked = {part for word in arguments for part in word.split("/") if part.startswith("-")}
        assert asked <= known, at


def test_each_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {
        target
        for text in [line for _, line in command_lines()]
        + [span for page in PAGES for span in SPAN.findall(prose_of(page))]
        for target in re.findall(r"^make ([a-z][a-z0-9-]*)", text)
    }
    assert "demo" in named
    assert named <= targets


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_each_manifest_is_valid_and_the_catalogue_takes_it(block: Block) -> None:
    found = parse(block.text, str(block))
    objects = [manifest.object for manifest in found if isinstance(manifest, Manifest)]
    assert [str(item) for item in found if not isinstance(item, Manifest)] == []
    assert objects != []
    # Weights that are named directly have to be fetched before anything is known of them.
    models = [o for o in objects if isinstance(o, SmallModel) and o.spec.model is not None]
    for model in models:
        outcome = resolve(
            model, fetch_bundled_cards(), secrets=frozenset({DEFAULT_SECRET}), weights=None
        )
        assert not isinstance(outcome, ResolveError), outcome


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_each_yaml_block_is_yaml(block: Block) -> None:
    assert list(yaml.safe_load_all(block.text)) != []


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_each_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_each_python_block_is_python(block: Block) -> None:
    ast.parse(block.text)


def test_the_six_lines_of_the_readme_are_the_example() -> None:
    first = next(block for block in blocks("yaml") if block.page == ROOT / "README.md")
    assert first.text == (ROOT / "examples" / "chat.yaml").read_text(encoding="utf-8")


def test_the_worked_example_of_sizing_is_what_slm_plan_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = DOCS / "explanation" / "sizing.md"
    shown = next(block for block in blocks("yaml") if block.page == page)
    line = next(words for at, words in SLM_LINES if at.startswith(str(page.relative_to(ROOT))))
    arguments = [str(ROOT / word) if word.endswith(".yaml") else word for word in line]
    assert main([*arguments, "-o", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert yaml.safe_load(shown.text)["memory"] == printed["models"][0]["memory"]


def test_the_readme_counts_the_cards_as_they_are() -> None:
    cards = fetch_bundled_cards().cards
    tried = Counter(card.spec.evidence for card in cards)
    words = " ".join(text_of(ROOT / "README.md").split())
    assert f"of {len(cards)} model cards" in words
    assert tried[Evidence.SERVED] == tried[Evidence.CONVERTED] == 1
    assert (
        f"one is served by the tests, one was converted by us, {tried[Evidence.DECLARED]} repeat"
        in words
    )


def test_each_variable_that_is_read_is_on_its_page() -> None:
    page = text_of(DOCS / "reference" / "environment.md")
    code = [*(ROOT / "operator").rglob("*.py"), *(ROOT / "serving").rglob("*.py")]
    asked = re.compile(r'(?:environ\.get|_xdg)\("(\w+)"|"(SMALLMODEL_\w+)"')
    read = {first or second for path in code for first, second in asked.findall(text_of(path))}
    assert {"XDG_CACHE_HOME", "SMALLMODEL_RUN_ID", "HF_ENDPOINT"} <= read
    assert {variable for variable in read if f"`{variable}`" not in page} == set()


def test_the_metrics_page_has_each_metric_that_is_made() -> None:
    page = text_of(DOCS / "how-to" / "metrics.md")
    shown = set(re.findall(r"^\| `ray_smallmodel_(\w+)`", page, re.MULTILINE))
    source = inspect.getsource(metrics.RayInstruments.__init__)
    made = set()
    for kind, name in re.findall(r"= (counter|gauge|histogram)\(\s*\"(\w+)\"", source):
        made.add(f"{name}_total" if kind == "counter" else name)
    # The index keeps the only metric of models that have no replica.
    assert shown == made | {"parked"}
