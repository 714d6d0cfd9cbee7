"""The command line: `pride`."""
