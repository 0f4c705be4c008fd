"""The control plane: API, web UI, permissions, event store, dialling."""
