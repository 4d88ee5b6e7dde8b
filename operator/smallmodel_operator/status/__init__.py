"""What was observed becomes conditions and states.

Pure: values in, values out; no clock is read, the time is an argument. May import the other pure
rooms only.
"""
