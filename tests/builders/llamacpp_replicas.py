"""A replica with a real llama.cpp in it, and what is asked of it."""

import json
from typing import Any, Final

from builders.replicas import RunningReplica
from smallmodel_operator.api.serving import LlamaCppArgs, ModelArgs
from smallmodel_serving.runtime.llamacpp import LlamaCppEngine

CHAT: Final = "/v1/chat/completions"


def engine_of(args: ModelArgs) -> LlamaCppEngine:
    assert isinstance(args.engine, LlamaCppArgs)
    return LlamaCppEngine(args, args.engine)


def asking(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 8, **more}


async def post(replica: RunningReplica, path: str, body: Any) -> tuple[int, Any]:
    async with replica.http.post(path, json=body) as response:
        return response.status, await response.json()


# SmolLM2's own template has no tools. This one has, in the form that llama.cpp reads out of it.
TOOL_TEMPLATE = """{%- if tools %}<|im_start|>system
For each function call, return a json object within <tool_call></tool_call> tags.
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools><|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% if message.tool_calls %}{% for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def weather_in(city: str, *, answered: bool) -> list[dict[str, Any]]:
    asked = {"role": "user", "content": f"What is the weather in {city}?"}
    function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
    call = {"id": city, "type": "function", "function": function}
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [asked, said] if answered else [asked]


def asking_for_the_tool(**more: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
    }
    function = {"name": "get_weather", "description": "The weather.", "parameters": parameters}
    return {
        # Examples, because the grammar lets a model talk before it calls, and this one likes to.
        "messages": weather_in("Rome", answered=True)
        + weather_in("Oslo", answered=True)
        + weather_in("Lima", answered=True)
        + weather_in("Paris", answered=False),
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "max_tokens": 96,
        "temperature": 0,
        **more,
    }
