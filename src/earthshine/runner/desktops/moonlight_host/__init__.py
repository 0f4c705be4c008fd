"""A GameStream host: Moonlight clients see the desktops of this runner.

``stage`` says what a desktop has to offer, ``states`` how a session lives, ``sessions`` holds the
rules of launch, resume, cancel and disconnect, ``connection`` is one client's stay, ``host``
composes.
"""
