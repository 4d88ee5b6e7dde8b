"""The operator: decides what a SmallModel becomes, and makes it so.

`api`, `catalog`, `placement`, `plan` and `status` are pure: values in, values out.
`local` and `cli` are where the world is read and changed.
"""

__version__ = "0.1.0"
