"""The Guacamole web application, where an operator has one: its connections are kept from here."""
