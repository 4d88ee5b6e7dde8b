"""One module for each command of `slm`: its arguments, and what it does with them.

What is slow to import (rich, httpx, psutil) is imported where it is used, so that `slm --help` and
`slm validate` start fast.
"""
