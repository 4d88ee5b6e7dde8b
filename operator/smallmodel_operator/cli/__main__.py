"""`python -m smallmodel_operator.cli` is `slm`."""

from smallmodel_operator.cli.main import run

run()
