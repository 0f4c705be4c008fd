"""Who this runner is to the control plane it was paired with: key, tokens, and where they lie."""
