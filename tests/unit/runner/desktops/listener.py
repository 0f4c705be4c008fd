"""A program that says what is typed into it: one JSON line for each X event, into FILE.

It covers the whole screen. Keys are told by what they mean (keysym), with Shift applied.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Until ended."""
    from Xlib import X, display

    connection = display.Display()
    screen = connection.screen()
    window = screen.root.create_window(
        0, 0, screen.width_in_pixels, screen.height_in_pixels, 0, screen.root_depth,
        override_redirect=True, background_pixel=screen.black_pixel,
        event_mask=X.KeyPressMask | X.KeyReleaseMask | X.ButtonPressMask | X.ButtonReleaseMask
        | X.PointerMotionMask,
    )  # fmt: skip
    window.map()
    connection.sync()
    window.set_input_focus(X.RevertToParent, X.CurrentTime)
    connection.sync()
    names = {
        X.KeyPress: "key", X.KeyRelease: "key up", X.ButtonPress: "button",
        X.ButtonRelease: "button up", X.MotionNotify: "motion",
    }  # fmt: skip
    with Path(sys.argv[1]).open("a") as file:

        def say(*words: object) -> None:
            file.write(json.dumps(words) + "\n")
            file.flush()

        say("ready")
        while True:
            event = connection.next_event()
            name = names.get(event.type)
            if event.type == X.MappingNotify:
                connection.refresh_keyboard_mapping(event)
            elif name is None:
                continue
            elif name.startswith("key"):
                shift = int(bool(event.state & X.ShiftMask))
                symbol = connection.keycode_to_keysym(event.detail, shift)
                say(name, symbol or connection.keycode_to_keysym(event.detail, 0))
            elif name == "motion":
                say(name, event.event_x, event.event_y)
            else:
                say(name, event.detail)


if __name__ == "__main__":
    main()
