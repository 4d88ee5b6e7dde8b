"""What was gathered becomes what is to be written: the operator's decisions, whole.

Pure: values in, values out; the time is an argument. May import the other pure rooms only. The
handlers gather before, and write after, once.
"""
