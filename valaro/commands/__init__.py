"""What the commands of `valaro` do, one file each; `valaro/cli.py` holds their words and options."""
