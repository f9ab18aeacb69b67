"""`python -m valaro`: the command line."""

from valaro.cli import app

app(prog_name="valaro")
