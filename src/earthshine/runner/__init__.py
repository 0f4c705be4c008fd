"""The runner: dials the control plane, starts agents, keeps their logs."""
