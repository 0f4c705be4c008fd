"""The built web UI (`dist`, made by `make ui`) and how it is served."""
