"""Sizes of screens, and the names of presets and codecs; imported by processes that stay small."""

from __future__ import annotations

from typing import Final, Literal

MIN_SIZE: Final = 64
MAX_SIZE: Final = 7680
Preset = Literal["text", "balanced", "motion"]
Codec = Literal["h264", "hevc", "av1"]
