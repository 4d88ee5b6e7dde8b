"""Each kind of bad manifest is told by line, field, rule and next step."""

import pytest

from builders.bad_manifests import PROBLEMS
from builders.yaml_objects import CHAT_YAML
from smallmodel_operator.local.manifests import Problem, parse


def problems(text: str) -> list[Problem]:
    """The problems of a text."""
    return [item for item in parse(text, "f.yaml") if isinstance(item, Problem)]


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_names_line_field_and_rule(case: str) -> None:
    text, line, field, words = PROBLEMS[case]
    found = problems(text)

    # The first is the one that is looked for; a document may have more.
    assert (found[0].line, found[0].field) == (line, field)
    assert [word for word in words if word not in found[0].message] == []


def test_a_misspelt_section_is_told_as_missing_and_as_unknown() -> None:
    found = problems(CHAT_YAML.replace("spec:", "specs:"))
    assert [(problem.line, problem.field) for problem in found] == [(1, "spec"), (5, "specs")]
    assert "did you mean spec?" in found[1].message


def test_aliases_that_unfold_without_end_are_refused_at_once() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    found = problems("\n".join(layers))
    assert ["unfold to more" in problem.message for problem in found] == [True]
