"""What a cluster may be asked to be."""

import pytest
from pydantic import ValidationError

from cluster.options import ClusterOptions, FakeGpu


def test_a_gpu_is_written_in_three_parts() -> None:
    assert FakeGpu.parse("NVIDIA-L4:2:23034") == FakeGpu(product="NVIDIA-L4", count=2, memory=23034)


@pytest.mark.parametrize("text", ["", "L4", "L4:2", "L4:two:1", "L4:2:24Gi", "L4:2:1:1", "L4:-1:1"])
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not PRODUCT:COUNT:MEMORY .* NVIDIA-L4:2:23034"):
        FakeGpu.parse(text)


@pytest.mark.parametrize("product", ["NVIDIA L4", "-L4", "L4/", ""])
def test_a_product_has_to_be_a_labels_value(product: str) -> None:
    with pytest.raises(ValidationError, match="product"):
        FakeGpu.parse(f"{product}:1:1")


@pytest.mark.parametrize("name", ["", "Dev", "two-words", "1st", "a" * 17, "../up"])
def test_a_name_is_short_and_plain(name: str) -> None:
    with pytest.raises(ValidationError, match="a letter, then at most 15"):
        ClusterOptions(name=name)


@pytest.mark.parametrize(
    "more", [{"nodes": 2}, {"fake_gpu": FakeGpu(product="L4", count=1, memory=1)}, {"memory": 4096}]
)
def test_a_control_plane_alone_has_nothing_of_a_node(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="has no nodes, GPUs, images or memory"):
        ClusterOptions.model_validate({"name": "dev", "kubelet": False, **more})


def test_a_record_reads_back_as_it_was_written() -> None:
    options = ClusterOptions(name="dev", fake_gpu=FakeGpu(product="L4", count=1, memory=1))
    assert ClusterOptions.model_validate_json(options.model_dump_json()) == options
