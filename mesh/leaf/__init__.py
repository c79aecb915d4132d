"""Microcontrollers as leaf peers: the gateway's side of the serial link."""
