"""Runners: their control connections and what they offer."""
