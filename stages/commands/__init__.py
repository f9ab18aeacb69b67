"""What the commands of `valaro` do, one file each; `stages/cli.py` holds their words and options."""
