"""The `slm` command: reads arguments and files, calls the other rooms, prints.

Errors of users become one message and a documented exit code here, and never a traceback.
"""
