"""What the commands of `valaro` do, one file each; `cli.py` has their words, `options.py` their options."""
