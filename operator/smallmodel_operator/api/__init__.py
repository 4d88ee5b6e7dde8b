"""The kinds, conditions, reasons and names that users and other rooms see.

Nothing here may do I/O, read a clock or import another room. Third party: pydantic only.
"""
