"""Bad manifests as people type them, with what is to be said of each."""

import yaml

from builders.yaml_objects import CHAT_YAML, chat_text, model_card

# Text, then line, field, and words of the message.
PROBLEMS: dict[str, tuple[str, int, str, tuple[str, ...]]] = {
    "indentation": ("a: b\n c: d\n", 2, "", ("not valid YAML", "mapping values")),
    "a tab": ("kind: SmallModel\nspec:\n\tmodel: a\n", 3, "", ("spaces", "starts with a tab")),
    "an unclosed bracket": ("spec: [a\n", 2, "", ("not valid YAML",)),
    "a control character": ("kind: a\nb: \x01\n", 2, "", ("control characters are not allowed",)),
    "a key given twice": (
        chat_text("model: a\nmodel: b"),
        7,
        "spec.model",
        ("given twice", "first in line 6", "remove one"),
    ),
    "a key given twice in a list": (
        "spec:\n  variants:\n  - name: a\n    name: b\n",
        4,
        "spec.variants[0].name",
        ("given twice",),
    ),
    "a key that is a list": ("? [a, b]\n: c\n", 1, "", ("must be a word",)),
    "an unknown field": (
        chat_text("model: a\nscaling:\n  maxReplica: 3"),
        8,
        "spec.scaling.maxReplica",
        ("no field 'maxReplica'", "did you mean maxReplicas?"),
    ),
    "a field in Python's spelling": (
        chat_text("model: a\ncontext_length: 2048"),
        7,
        "spec.context_length",
        ("did you mean contextLength?",),
    ),
    "an unknown field without a near one": (
        chat_text("model: a\nresources:\n  zzz: 1"),
        8,
        "spec.resources.zzz",
        ("the fields are cpu, memory, accelerator",),
    ),
    "neither model nor source": (
        chat_text("engine: Auto"),
        5,
        "spec",
        ("exactly one of model and source", "neither is"),
    ),
    "both model and source": (
        chat_text("model: a\nsource: {uri: 'hf://a/b'}"),
        5,
        "spec",
        ("exactly one of model and source", "both is"),
    ),
    "bounds that disagree": (
        chat_text("model: a\nscaling:\n  minReplicas: 5"),
        7,
        "spec.scaling",
        ("minReplicas 5 is more than maxReplicas 3",),
    ),
    "a value of an enumeration": (
        chat_text("model: a\nengine: vllm"),
        7,
        "spec.engine",
        ("'vllm'", "'VLLM'", "'LlamaCpp'"),
    ),
    "a number that is too small": (
        chat_text("model: a\ncontextLength: 1"),
        7,
        "spec.contextLength",
        ("1 is too small", "the least is 128"),
    ),
    "a number that is too large": (
        chat_text("model: a\nscaling: {maxReplicas: 1000}"),
        7,
        "spec.scaling.maxReplicas",
        ("1000 is too large", "the most is 100"),
    ),
    "a number in quotes": (
        chat_text('model: a\ncontextLength: "2048"'),
        7,
        "spec.contextLength",
        ("'2048' is a text", "a whole number is needed", "without quotes"),
    ),
    "a word for a number": (
        chat_text("model: a\ncontextLength: many"),
        7,
        "spec.contextLength",
        ("'many' is a text, and a whole number is needed",),
    ),
    "a fraction for a whole number": (
        chat_text("model: a\ncontextLength: 20.5"),
        7,
        "spec.contextLength",
        ("20.5 is a number, and a whole number is needed",),
    ),
    "a truth value for a number": (
        chat_text("model: a\ncontextLength: yes"),
        7,
        "spec.contextLength",
        ("true is true or false",),
    ),
    "a number for a text": (
        chat_text("model: a\nengineArgs: {n_batch: 256}"),
        7,
        "spec.engineArgs.n_batch",
        ("256 is a number", 'in quotes: "256"'),
    ),
    "a truth value for a text": (
        chat_text("model: a\nengineArgs: {flash: off}"),
        7,
        "spec.engineArgs.flash",
        ('in quotes: "false"',),
    ),
    "a text for a mapping": (
        chat_text("model: a\nscaling: big"),
        7,
        "spec.scaling",
        ("'big' is a text, and a mapping is needed",),
    ),
    "a list for a text": (
        chat_text("model: [a, b]"),
        6,
        "spec.model",
        ("this is a list, and a text is needed",),
    ),
    "a wrong duration": (
        chat_text("model: a\nscaling:\n  idleTimeout: 5 minutes"),
        8,
        "spec.scaling.idleTimeout",
        ("'5 minutes' is not a duration", "5m"),
    ),
    "a wrong quantity": (
        chat_text("model: a\nresources: {memory: 4GB}"),
        7,
        "spec.resources.memory",
        ("'4GB' is not a quantity", "4Gi"),
    ),
    "a missing field": (
        chat_text("source: {revision: main}"),
        6,
        "spec.source.uri",
        ("uri is required and not set",),
    ),
    "a missing spec": (
        CHAT_YAML.split("spec:", maxsplit=1)[0],
        1,
        "spec",
        ("spec is required",),
    ),
    "a name that is too long": (
        chat_text("model: a", name="a" * 41),
        3,
        "metadata",
        ("has 41 characters", "at most 40"),
    ),
    "a text that is too long": (
        chat_text(f"model: a\nacceptLicense: {'x' * 65}"),
        7,
        "spec.acceptLicense",
        ("is too long", "64 characters", "…"),
    ),
    "too many entries": (
        chat_text(
            "model: a\nengineArgs:\n" + "\n".join(f"  a{number}: ''" for number in range(33))
        ),
        7,
        "spec.engineArgs",
        ("has too many entries", "the most is 32"),
    ),
    "too few entries": (
        yaml.safe_dump(model_card(variants=[], closed={"reason": "Kept.", "alternatives": []})),
        17,
        "spec.closed.alternatives",
        ("has too few entries", "the least is 1"),
    ),
    "another kind": ("kind: ConfigMap\n", 1, "kind", ("'ConfigMap'", "SmallModel or ModelCard")),
    "a kind in small letters": ("a: b\nkind: smallmodel\n", 2, "kind", ("mean SmallModel?",)),
    "no kind": ("apiVersion: smallmodel.dev/v1alpha1\n", 1, "kind", ("kind is not set",)),
    "a kind that is a list": ("kind: [SmallModel]\n", 1, "kind", ("is not served here",)),
    "another version": (
        CHAT_YAML.replace("v1alpha1", "v1"),
        1,
        "apiVersion",
        ("'smallmodel.dev/v1'", "write `apiVersion: smallmodel.dev/v1alpha1`"),
    ),
    "no version": ("kind: SmallModel\n", 1, "apiVersion", ("is not set",)),
    "a list for a manifest": ("- a\n", 1, "", ("a manifest is a mapping",)),
    "a text for a manifest": ("hello\n", 1, "", ("a manifest is a mapping",)),
    "an alias of itself": ("spec: &a\n  b: *a\n", 1, "spec.b", ("refers to what it is part of",)),
    "a tag of another program": ("a: !secret b\n", 1, "", ("constructor", "!secret")),
    "a tag on a mapping": ("a: !!set {b, c}\n", 1, "a", ("!!set has no meaning",)),
    "a tag on bytes": ("a: !!binary aGk=\n", 1, "a", ("!!binary has no meaning",)),
    "a tag that its value breaks": ("a: !!int hello\n", 1, "a", ("'hello' is not a !!int",)),
    "a merge of a text": ("a:\n  <<: b\n", 2, "", ("expected a mapping",)),
    "nesting without end": (
        "".join(f"{' ' * depth}a:\n" for depth in range(60)),
        52,
        "a.a.a",
        ("nested deeper than 50",),
    ),
}  # fmt: skip
