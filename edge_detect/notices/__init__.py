"""Notices: who is told of events: an MQTT broker, an address, a program, a pin."""
