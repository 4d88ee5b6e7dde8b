"""What can keep a local run from starting or going on; `cli` maps each to an exit code."""


class LocalError(Exception):
    """The base: its text is the value, the rule and the next step, fit for a user."""


class PortTaken(LocalError):
    """The public port is in use."""


class AlreadyRunning(PortTaken):
    """Another `slm up` has that public port."""


class NotRunning(LocalError):
    """No `slm up` runs there."""


class StackFailed(LocalError):
    """Ray, Serve or Envoy did not start, or ended by itself."""


class PlatformUnsupported(LocalError):
    """This is not Linux."""
