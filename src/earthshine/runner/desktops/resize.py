"""Changing a display's size while it runs (RANDR 1.2)."""

from __future__ import annotations

from typing import Any, Final

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.limits import MAX_SIZE, MIN_SIZE
from earthshine.runner.desktops.x11 import DisplayError, X

DOTS_PER_INCH: Final = 96
MODE_PREFIX: Final = "earthshine-"


def bounded(width: int, height: int) -> tuple[int, int]:
    """A size that encoders can take: even, within the limits."""
    return (
        min(max(width, MIN_SIZE), MAX_SIZE) & ~1,
        min(max(height, MIN_SIZE), MAX_SIZE) & ~1,
    )


def set_size(connection: Any, width: int, height: int) -> tuple[int, int]:
    """Give the screen another size; returns the one it has then.

    Raises DisplayError where the server refuses: sizes beyond its framebuffer, or no RANDR.
    """
    width, height = bounded(width, height)
    if x11.screen_size(connection) == (width, height):
        return width, height
    if not connection.has_extension("RANDR"):
        raise DisplayError("the display cannot change its size")
    root = connection.screen().root
    resources = root.xrandr_get_screen_resources()._data
    outputs = [
        (output, info)
        for output in resources["outputs"]
        if (info := connection.xrandr_get_output_info(output, 0)._data)["crtc"]
    ]
    if not outputs:
        raise DisplayError("the display has no output that could change its size")
    output, info = outputs[0]
    limit = root.xrandr_get_screen_size_range()
    if width > limit.max_width or height > limit.max_height:
        raise DisplayError(f"the display can be at most {limit.max_width}x{limit.max_height} large")
    errors: list[Any] = []
    previous = connection.set_error_handler(lambda error, _request: errors.append(error))
    try:
        mode = _mode(connection, root, resources, output, width, height)
        before = connection.xrandr_get_crtc_info(info["crtc"], 0)._data
        try:
            _switch(connection, root, info["crtc"], output, mode, width, height)
        except x11.protocol_errors():
            size = (before["width"], before["height"])
            _switch(connection, root, info["crtc"], output, before["mode"], *size)
            raise
        connection.sync()
    except x11.protocol_errors() as problem:
        raise DisplayError(f"the display refused {width}x{height}: {problem}") from None
    finally:
        connection.set_error_handler(previous)
    size = x11.screen_size(connection)
    if size != (width, height):
        raise DisplayError(f"the display refused {width}x{height} and stays at {size[0]}x{size[1]}")
    _drop_unused_modes(connection, root, output, mode)
    return size


def _mode(connection: Any, root: Any, resources: Any, output: int, width: int, height: int) -> int:
    """A mode of this size that the output has; made where there is none."""
    offered = set(connection.xrandr_get_output_info(output, 0)._data["modes"])
    for mode in resources["modes"]:
        if mode["id"] in offered and (mode["width"], mode["height"]) == (width, height):
            return int(mode["id"])
    name = f"{MODE_PREFIX}{width}x{height}"
    names = resources["mode_names"]
    made = None
    for mode in resources["modes"]:
        own, names = names[: mode["name_length"]], names[mode["name_length"] :]
        if own == name:
            made = int(mode["id"])
    if made is None:
        timing = (
            0, width, height, width * height * 60, width, width, width, 0, height, height, height,
            len(name), 0,
        )  # fmt: skip
        made = int(root.xrandr_create_mode(timing, name).mode)
    connection.xrandr_add_output_mode(output, made)
    return made


def _switch(
    connection: Any, root: Any, crtc: int, output: int, mode: int, width: int, height: int
) -> None:
    """The screen must contain the mode at every moment: switch off, size, switch on."""
    now = X.CurrentTime
    millimetres = (
        max(1, round(width * 25.4 / DOTS_PER_INCH)),
        max(1, round(height * 25.4 / DOTS_PER_INCH)),
    )
    connection.grab_server()
    try:
        connection.xrandr_set_crtc_config(crtc, 0, 0, 0, 0, 1, [], now)
        root.xrandr_set_screen_size(width, height, *millimetres)
        connection.xrandr_set_crtc_config(crtc, 0, 0, 0, mode, 1, [output], now)
    finally:
        connection.ungrab_server()
        connection.flush()


def _drop_unused_modes(connection: Any, root: Any, output: int, used: int) -> None:
    """Sizes that somebody dragged through are not kept for ever."""
    resources = root.xrandr_get_screen_resources()._data
    names = resources["mode_names"]
    for mode in resources["modes"]:
        own, names = names[: mode["name_length"]], names[mode["name_length"] :]
        if own.startswith(MODE_PREFIX) and mode["id"] != used:
            connection.xrandr_delete_output_mode(output, mode["id"])
            connection.xrandr_destroy_mode(mode["id"])
    connection.sync()
