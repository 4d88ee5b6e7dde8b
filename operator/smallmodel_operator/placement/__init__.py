"""A resolved model and a machine become a placement: what runs there, or why nothing can.

Pure: values in, values out. May import `api` and `catalog` only. With many clusters this room will
choose among them; a single machine is the case of one candidate.
"""
