"""What a cluster is asked to be, and what is remembered of one that runs."""

import re
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cluster.addresses import CLUSTERS, NODES, ClusterAddresses

NAME: Final = re.compile(r"[a-z][a-z0-9]{0,15}")


class FakeGpu(BaseModel):
    """GPUs that a node says it has, so that scheduling by them is tested without one.

    Attributes:
        product: as the label `nvidia.com/gpu.product` has it.
        count: how many on each node.
        memory: of one of them, MiB.
    """

    model_config = ConfigDict(frozen=True)

    product: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
    count: int = Field(ge=1, le=16)
    memory: int = Field(ge=1)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PRODUCT:COUNT:MEMORY`, memory in MiB; ValueError says what is wrong."""
        parts = text.split(":")
        if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
            raise ValueError(
                f"{text!r} is not PRODUCT:COUNT:MEMORY with memory in MiB, as in NVIDIA-L4:2:23034"
            )
        return cls(product=parts[0], count=int(parts[1]), memory=int(parts[2]))


class ClusterOptions(BaseModel):
    """What `up` was asked for.

    Attributes:
        name: a short name; two clusters with different names run side by side.
        index: which of the machine's address blocks; None takes the first that is free.
        nodes: how many; the first also runs the control plane.
        kubelet: False gives a control plane alone, for tests of the API's semantics.
        dns: run CoreDNS.
        kuberay: run the KubeRay operator; on a control plane alone, know its kinds.
        images: docker-archive files that every node gets.
        fake_gpu: GPUs that every node says it has.
        proxy_mode: how kube-proxy does its work.
        memory: MiB that pods of a node may have of the machine's; None: all of it.
        spare_memory: have the API server take half the memory for twice the processor time.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    index: int | None = Field(default=None, ge=0, lt=CLUSTERS)
    nodes: int = Field(default=1, ge=1, le=NODES)
    kubelet: bool = True
    dns: bool = True
    kuberay: bool = True
    images: tuple[Path, ...] = ()
    fake_gpu: FakeGpu | None = None
    proxy_mode: str = Field(default="nftables", pattern="^(nftables|iptables)$")
    memory: int | None = Field(default=None, ge=512)
    spare_memory: bool = True

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r}: a letter, then at most 15 letters and digits, lower case")
        return name

    @model_validator(mode="after")
    def _needs_nodes(self) -> Self:
        of_nodes = (self.nodes > 1, self.fake_gpu, self.images, self.memory)
        if not self.kubelet and any(of_nodes):
            raise ValueError("a control plane alone has no nodes, GPUs, images or memory")
        return self


class ClusterRecord(BaseModel):
    """What is remembered of a cluster in its folder.

    Attributes:
        options: what it was asked to be.
        index: the address block that it holds.
        path: where its programs are found, as PATH has it.
        system_images: the folder with the images that every node gets, docker-archive files.
        kuberay: the folder with KubeRay's CRDs and its role.
    """

    model_config = ConfigDict(frozen=True)

    options: ClusterOptions
    index: int
    path: str
    system_images: Path | None
    kuberay: Path | None

    @property
    def addresses(self) -> ClusterAddresses:
        return ClusterAddresses(self.index)
