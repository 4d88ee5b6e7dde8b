"""What was observed becomes conditions and states.

Pure: values in, values out; the time is an argument. May import the other pure rooms.
"""
