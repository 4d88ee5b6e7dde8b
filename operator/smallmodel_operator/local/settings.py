"""What `slm up` was asked for, handed from the supervisor to the driver."""

from pathlib import Path

from smallmodel_operator.api.base import ApiModel


class RunSettings(ApiModel):
    """The arguments of one run."""

    run_id: str
    state_folder: str
    """Of `paths.RunFolder`."""
    scratch: str
    """Of `paths.ScratchFolder`."""
    host: str
    port: int
    paths: tuple[str, ...]
    watch: bool = True
    memory: str | None = None
    """A quantity: what models may use together; unset: what the machine has."""
    dashboard: bool = False

    @property
    def manifests(self) -> tuple[Path, ...]:
        """The files and folders to read."""
        return tuple(Path(path) for path in self.paths)
