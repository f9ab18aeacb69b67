"""What the commands of `valaro` do, one file each; `cli.py` has their help, `options.py` their options."""
