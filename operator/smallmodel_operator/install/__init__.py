"""What the Helm chart's own pods run: the catalogue, the end of an installation, and its test.

Each module is a program that ends. Nothing here decides about models, and nothing here is needed
while they are served.
"""
