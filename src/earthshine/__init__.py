"""Earthshine: run coding agents on any machine and watch, steer and approve them from anywhere."""

__version__ = "0.1.0"
