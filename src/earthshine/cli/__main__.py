"""`python -m earthshine.cli`: the same as `earthshine`."""

from earthshine.cli import main

if __name__ == "__main__":
    main()
