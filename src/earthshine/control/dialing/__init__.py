"""Reaching ports on runners: who is connected, and dialling through them."""
