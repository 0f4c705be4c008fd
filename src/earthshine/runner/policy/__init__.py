"""What this machine lets a control plane do. The owner writes it; the control plane cannot."""
