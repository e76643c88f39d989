"""`python -m taskyard`: the command line, where the `taskyard` script is not on the path."""

from taskyard.cli.main import main

if __name__ == "__main__":
    main()
