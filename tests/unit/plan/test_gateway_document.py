"""The text of Envoy's files is the same, whether its parts were written before or not."""

import json

from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.plan.gateway.document import Json, Message, discovery_json, written

texts = st.text(st.characters(exclude_categories=("Co", "Cs")), max_size=3)
messages = st.lists(
    st.dictionaries(texts, st.integers() | texts, min_size=1),
    min_size=1,
    max_size=4,
)


@given(messages, messages, messages)
def test_what_was_written_before_is_the_same_text_in_its_place(
    first: list[Message], known: list[Message], last: list[Message]
) -> None:
    def file(*routes: Json) -> list[Message]:
        return [{"name": "models", "map": {"/team/": {"routes": routes}, "/": {}}}]

    whole = discovery_json(file(*first, *known, *last))
    in_parts = discovery_json(file(*first, written(known), *last))
    kept = discovery_json(file(written(first), written(known), written(last)))

    assert whole == in_parts == kept
    assert json.loads(whole.text)["resources"] == json.loads(
        json.dumps(file(*first, *known, *last))
    )
